// The door of codegen/: Plan in, Program out.
#ifndef SINTER_CODEGEN_CODEGEN_H
#define SINTER_CODEGEN_CODEGEN_H

#include "base/cache.h"
#include "base/diag.h"
#include "codegen/tile.h"
#include "ir/plan.h"
#include "ir/target.h"
#include "runtime/program.h"

typedef struct {
    double lower_seconds, optimize_seconds, emit_seconds, link_seconds;
    double instruction_seconds;            // of lower_seconds: tile programs into LLVM's instructions
    double llvm_seconds;                   // all that LLVM's threads did: these, optimize, emit, setting up
    uint32_t kernels, distinct_kernels;    // steps that use a generated kernel; kernels after sharing equal ones
    Text *tiles, *llvm, *assembly;         // when not NULL: filled with the text of every distinct kernel
    Cache *cache;                          // when not NULL: machine code is taken from there, and kept there
    bool recalled;                         // it was
} CodegenReport;

// Compiles `count` plans (step, eval, logits of one model) at once for the CPU; equal boxes become one kernel, shared
// by layers and by programs. `names` become Program.name. False with diagnostics (LLVM's own words) on failure.
// The programs share one owner; each is freed with program_free.
bool codegen_cpu(const Plan *const *plans, const char *const *names, int count, const Target *target,
                 CodegenReport *report, Program **programs, Diags *diags);

// For `sinter info`: "22.1.8", and OpenBLAS' own configuration line (core and threading), static strings.
const char *codegen_llvm_version(void);
const char *codegen_blas_version(void);

#endif
