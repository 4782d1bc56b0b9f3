// The machine, as plain numbers. Filled by driver/ from runtime/probe or a file, handed to passes and codegen as data;
// compiling for another machine is giving another Target. Text form: one `name value` per line.
#ifndef SINTER_IR_TARGET_H
#define SINTER_IR_TARGET_H

#include "base/diag.h"
#include "base/text.h"

typedef struct {
    char triple[64];            // LLVM triple, "" = this machine
    char cpu[64];               // LLVM CPU name, "" = this machine
    char gpu[64];               // architecture of the GPU that runs the program ("sm_90a"), "" = the processor does
    int cores;                  // physical cores the program may use: a fact of the machine, never --threads
    int vector_bytes;           // full-width vectors: 64, 32 or 16
    int vector_registers;       // 32 or 16
    double l1_bytes, l2_bytes, l3_bytes;
    // What plans are weighed with, for all cores. On a processor those of target_default, on a GPU its datasheet's:
    // a plan follows from shapes and from what the machine has, never from a measurement.
    double peak_flops;          // f32 multiply-adds, flop/s
    double bandwidth;           // memory, byte/s
    double barrier_seconds;     // one barrier
    double library_bytes;       // GPU: memory that a library's products may work in; 0: there is no such library
} Target;

// Of a processor's caches: the bytes of a line, and at most of a way of the first level, which is looked up while the
// address is translated.
enum { LINE_BYTES = 64, PAGE_BYTES = 4096 };

// On a GPU a core is a multiprocessor, l1_bytes its shared memory, l3_bytes the cache of all, l2_bytes a core's share
// of that, barrier_seconds from one kernel to the next; a vector of 64 bytes is a register of 16 threads. Threads are
// plenty: rounds of loops are dealt out to them, whatever the pieces are; nothing lies in panels, and scratch memory is
// a block's shared memory.
static inline bool target_is_gpu(const Target *target) {
    return target && target->gpu[0];
}
// The datasheet of an architecture ("sm_80", "sm_90a" ...); false when there is none. `known` names them all.
bool target_of_gpu(const char *architecture, Target *target);
extern const char *const target_known_gpus;
// Dense peak of the tensor cores of a GPU of the table, flop/s with f32 sums: of operands rounded to tf32, or of bf16
// and f16. 0: it is no such GPU.
double target_tensor_flops(const Target *target, bool tf32);
// Whether warpgroups can multiply (wgmma), and boxes of tensors be copied for them.
bool target_has_wgmma(const Target *target);

// Blocks of threads that each take so much shared memory: how many a multiprocessor has at once, and of how many
// threads each is, so that together they hide what each waits for and find registers.
int target_resident_blocks(const Target *target, double shared_bytes);
int target_block_threads(const Target *target, double shared_bytes);

Target target_default(void);    // 2 cores, 32-byte vectors, small caches, 100 GFLOP/s, 10 GB/s; for tests, too
void target_print(const Target *target, Text *out);
bool target_parse(const char *file, const char *source, Target *target, Diags *diags);

#endif
