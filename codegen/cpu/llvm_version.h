// Everything that differs between LLVM 19, 20, 21 and 22, and nothing else.
#ifndef SINTER_CODEGEN_CPU_LLVM_VERSION_H
#define SINTER_CODEGEN_CPU_LLVM_VERSION_H

#include <llvm/Config/llvm-config.h>

#if LLVM_VERSION_MAJOR < 19 || LLVM_VERSION_MAJOR > 22
#error "LLVM 19 to 22 is needed"
#endif

// Masked loads, stores, gathers and scatters carry the alignment as an i32 operand up to LLVM 21, and as an attribute
// of the pointer from LLVM 22 on.
#define LLVM_MASKED_HAS_ALIGNMENT_OPERAND (LLVM_VERSION_MAJOR < 22)

#endif
