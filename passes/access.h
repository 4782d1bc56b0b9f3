// Where a node reads its operands: at its own index, or elsewhere.
//
// A dim of a node is *moved* when the reader does not read it at the reader's own index of that dim: below a rename, a
// select, a split ... of it, or as the source of a gather. Dims that are only summed over are not moved, but they are
// not read at one index either; callers who care ask for them too.
//
//     %2 = rename f32[B,S] %1 from T to S       %1 is read at its own B; its T is moved
//     %3 = sum f32[B] %2 over S                 %2's S is reduced
#ifndef SINTER_PASSES_ACCESS_H
#define SINTER_PASSES_ACCESS_H

#include "ir/graph.h"

// Which dims of operand k are moved, when those in `moved` of `node` itself are.
DimSet access_moved(const Graph *graph, NodeId node, uint32_t k, DimSet moved);

// The dims of operand k that `node` runs over: summed, reduced or scattered.
DimSet access_reduced(const Graph *graph, NodeId node, uint32_t k);

// By operand of the box: the dims at which the region reads it at the index of its outputs, and nowhere else. A step
// that is cut along such dims reads its own pieces of the operand.
DimSet *access_own(const Graph *region, uint32_t operand_count, Arena *arena);
// The same for a step that sums over them and takes a share of the sum at a time.
DimSet *access_own_or_summed(const Graph *region, uint32_t operand_count, Arena *arena);

// `node` as a result of its region stored in this order: the node itself, or, for an operand that lies in another
// order, a copy of it.
NodeId node_in_order(Graph *region, NodeId node, DimList order);

#endif
