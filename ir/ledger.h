// The ledger: append-only decisions, written by passes, read by reports.
#ifndef SINTER_IR_LEDGER_H
#define SINTER_IR_LEDGER_H

#include <stdint.h>

#include "base/memory.h"
#include "base/text.h"

typedef struct {
    const char *pass;      // who decided
    const char *what;      // "box softmax", "product by openblas"
    const char *place;     // "layer[0].p"
    bool made;
    const char *reason;    // first failed condition with its values, or why it was made
    double bytes_saved, flops_saved;   // refused: what it would have saved
    bool near;             // refused by one failed condition: all others hold
    const uint32_t *nodes; // what it is about: nodes of the graph that the plan is drawn from
    size_t node_count;     // 0: what `place` says
} Decision;

typedef struct Ledger Ledger;
Ledger *ledger_create(Arena *arena);
void ledger_add(Ledger *ledger, Decision decision);   // strings and nodes are copied
size_t ledger_count(const Ledger *ledger);
const Decision *ledger_at(const Ledger *ledger, size_t i);
// One line per decision; equal ones of several layers are one line with `layer[0..3]`.
void ledger_print(const Ledger *ledger, Text *out);

#endif
