// A scaled loss, for products that round to f16: gradients smaller than f16 has numbers for would vanish on their way
// (Micikevicius et al., Mixed Precision Training, ICLR 2018). The scale adapts itself as torch.amp.GradScaler's does.
//
//     states, f32 without dims        at first      next value
//     scaler.scale                    init_scale    halved by an overflow, doubled every growth_interval sound steps
//     scaler.good_steps               0             of them, since the scale changed last or a step was skipped
//     scaler.skipped_steps            0             steps that an overflow skipped: AdamW counts them as not taken
//
// An overflow is a gradient norm that is not finite, at a scale above 1, in a step whose loss is finite. A scale of 1
// is not to blame, nor is any for a loss, which is known before anything is scaled: such steps change nothing at all,
// as without a scale.
#ifndef SINTER_PASSES_LOSS_SCALE_H
#define SINTER_PASSES_LOSS_SCALE_H

#include "passes/passes.h"

// The scale of this step: what the gradient of the loss begins with. NODE_NONE: the loss is not scaled.
NodeId loss_scale(Graph *graph, const OptimizerSettings *settings);
// How many steps before this one were skipped.
NodeId loss_scale_skipped(Graph *graph);
// Next values of the states, and the output loss_scale, the scale of this step. finite: whether params are updated;
// sound_but_norm: whether they were if the gradient norm was finite.
void loss_scale_update(Graph *graph, const OptimizerSettings *settings, NodeId finite, NodeId sound_but_norm);

#endif
