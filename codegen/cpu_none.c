// A build without the CPU half: the door's functions for the CPU, which say so.
#include "codegen/codegen.h"

bool codegen_cpu(const Plan *const *plans, const char *const *names, int count, const Target *target,
                 CodegenReport *report, Program **programs, Diags *diags) {
    (void)plans, (void)names, (void)count, (void)target, (void)report, (void)programs;
    return diag_error(diags, (Place){0}, "this build has no CPU half (it was configured with SINTER_CPU=OFF)");
}

const char *codegen_llvm_version(void) { return "none: this build has no CPU half (SINTER_CPU=OFF)"; }
const char *codegen_blas_version(void) { return "none: this build has no CPU half (SINTER_CPU=OFF)"; }
