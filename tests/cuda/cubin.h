// Reading a cubin, for tests: which machine instructions a kernel has.
//
// A cubin is an ELF file; section .text.KERNEL holds instructions of 16 bytes (since sm_70) whose low 12 bits are the
// opcode. The numbers below were found by compiling kernels that have so many of each.
#ifndef SINTER_TESTS_CUDA_CUBIN_H
#define SINTER_TESTS_CUDA_CUBIN_H

#include <stdint.h>
#include <stddef.h>

enum {
    OPCODE_HGMMA = 0x9f0,        // wgmma
    OPCODE_HMMA = 0x23c,         // mma.sync of bf16, f16, tf32
    OPCODE_LDSM = 0x83b,         // ldmatrix
    OPCODE_LDGSTS = 0xfae,       // cp.async
    OPCODE_LDG = 0x981,          // ld.global
    OPCODE_STG = 0x986,          // st.global
    OPCODE_ACQBULK = 0x82e,      // griddepcontrol.wait
    OPCODE_PREEXIT = 0x82d,      // griddepcontrol.launch_dependents
    OPCODE_UTMALDG = 0x5b4,      // bulk tensor copy
    OPCODE_SYNCS = 0x5b2,        // mbarrier
    OPCODE_USETMAXREG = 0x9c8,   // setmaxnreg
    OPCODE_MUFU = 0x308          // exp2, log2, reciprocal, ... by the special function unit
};

// Instructions of that opcode in the kernel (NULL: in all of them); -1 when the cubin is broken or has no such kernel.
int cubin_count(const void *cubin, size_t bytes, const char *kernel, unsigned opcode);
// Where the first one of the kernel is, in instructions; -1 as above, or when there is none.
int cubin_first(const void *cubin, size_t bytes, const char *kernel, unsigned opcode);
// All instructions of the kernel.
int cubin_instructions(const void *cubin, size_t bytes, const char *kernel);

#endif
