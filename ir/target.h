// The machine, as plain numbers. Filled by driver/ from runtime/probe or a file, handed to passes and codegen as data;
// compiling for another machine is giving another Target. Text form: one `name value` per line.
#ifndef SINTER_IR_TARGET_H
#define SINTER_IR_TARGET_H

#include "base/diag.h"
#include "base/text.h"

typedef struct {
    char triple[64];            // LLVM triple, "" = this machine
    char cpu[64];               // LLVM CPU name, "" = this machine
    int cores;                  // physical cores the program may use: a fact of the machine, never --threads
    int vector_bytes;           // full-width vectors: 64, 32 or 16
    int vector_registers;       // 32 or 16
    double l1_bytes, l2_bytes, l3_bytes;
    double peak_flops;          // f32 multiply-adds, all cores, flop/s (measured)
    double bandwidth;           // memory, all cores, byte/s (measured)
    double barrier_seconds;     // one barrier of all cores
    bool peak_is_measured;      // false: estimated
} Target;

Target target_default(void);    // a conservative machine: 2 cores, 32-byte vectors; for tests and golden texts
void target_print(const Target *target, Text *out);
bool target_parse(const char *file, const char *source, Target *target, Diags *diags);

#endif
