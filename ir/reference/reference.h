// The float64 meaning of every op: slow, obviously right, the oracle for every pass and every kernel.
//
// Values are dense double arrays in the order of node.order; bool is 0 or 1, i32 an integer value. Storage rounding is
// ignored. `random` uses the very bits of docs/ir.md (Threefry-2x32-20, Salmon et al., SC 2011), so dropout masks
// agree.
#ifndef SINTER_IR_REFERENCE_REFERENCE_H
#define SINTER_IR_REFERENCE_REFERENCE_H

#include "ir/graph.h"

typedef struct Reference Reference;

// Holds one array per live node; memory from its own arena until reference_free.
Reference *reference_create(const Graph *graph);
void reference_free(Reference *reference);
// Binds a source (INPUT, PARAM, STATE by leaf name). `values` in node.order of that source node; copied.
bool reference_bind(Reference *reference, const char *leaf, const double *values);
// Binds box operand k of a region.
bool reference_bind_operand(Reference *reference, int number, const double *values);
// Evaluates all live nodes. Returns false and names the leaf in *unbound when a source has no value.
bool reference_run(Reference *reference, const char **unbound);
// Values of a live node, in its node.order. Valid until the next run or free.
const double *reference_value(const Reference *reference, NodeId node);
// For comparing two storage orders of one value: copies from order `from` to order `to`.
void reference_reorder(const Graph *graph, const double *values, DimList from, DimList to, double *result);

// Uniform bits of `random`: 32 bits for (seed, step, micro, site, flat logical index). docs/ir.md has the definition.
uint32_t reference_random_bits(uint32_t seed, uint32_t step, uint32_t micro, const char *site, uint64_t index);
uint32_t reference_site_key(const char *site);  // 32-bit FNV-1a of the site's name
// The generator itself: Threefry-2x32, 20 rounds.
void reference_threefry(const uint32_t key[2], const uint32_t counter[2], uint32_t result[2]);

#endif
