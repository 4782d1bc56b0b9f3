// What reads input: one for each kind, with sound samples, the words of its language, and what to do with one input.
#ifndef SINTER_TESTS_ROBUST_READERS_H
#define SINTER_TESTS_ROBUST_READERS_H

#include <stdbool.h>

#include "base/diag.h"
#include "tests/robust/mutate.h"

// READER(name, memory: MiB that reading may take besides 4 times its input, source, read, repair)
//
//     source   samples and words
//     read     everything that the program does with such an input; whether it was accepted. Unless it was, a
//     diagnostic repair   makes lengths and checksums fit again, so that more is read; NULL: there are none
#define READERS(READER)                                                                                                \
    READER(spec, 256, spec_samples, feed_spec, NULL)                                                                   \
    READER(config, 16, config_samples, feed_config, NULL)                                                              \
    READER(graph, 64, graph_samples, feed_graph, NULL)                                                                 \
    READER(plan, 64, plan_samples, feed_plan, NULL)                                                                    \
    READER(choices, 64, choices_samples, feed_choices, NULL)                                                           \
    READER(tensors, 16, tensor_samples, feed_tensor, tensor_repair)                                                    \
    READER(checkpoint, 16, checkpoint_samples, feed_checkpoint, tensor_repair)                                         \
    READER(tokens, 16, tokens_samples, feed_tokens, NULL)                                                              \
    READER(meta, 16, meta_samples, feed_meta, NULL)                                                                    \
    READER(pickle, 32, pickle_samples, feed_pickle, NULL)                                                              \
    READER(record, 16, record_samples, feed_record, NULL)                                                              \
    READER(metrics, 16, metrics_samples, feed_metrics, NULL)                                                           \
    READER(tune, 16, tune_samples, feed_tune, tune_repair)

#define DECLARE_READER(name, memory, source, read, repair)                                                             \
    Source source(Arena *arena);                                                                                       \
    bool read(Arena *arena, Bytes input, Diags *diags);
READERS(DECLARE_READER)
Bytes tensor_repair(Arena *arena, Bytes input);
Bytes tune_repair(Arena *arena, Bytes input);

#endif
