// Inside codegen/cuda: a kernel as data, until the text of its unit is written.
//
//     print.c  a tile program -> {parameters, what the body asks for, body}  ->  KERNEL(map_sub_33b7, 128)(...) { ..
//     merge.c  several of them, and who takes which blocks  ->  INLINE void level_8a_0(.., const int block, ..) { ..
//
// A body is a function of its buffers and of `block`, of `blocks`: nothing in it asks what the launch is.
#ifndef SINTER_CODEGEN_CUDA_KERNEL_H
#define SINTER_CODEGEN_CUDA_KERNEL_H

#include "base/text.h"
#include "ir/type.h"
#include "runtime/cuda/launch.h"

typedef struct {
    DType dtype;
    bool is_written;
    bool is_alone;                // no other one lies in the same memory: RESTRICT
} CudaParameter;

// How the body finds shared memory: not at all, as bytes, as boxes of tensors (which begin at multiples of 1024).
typedef enum { SHARED_NOT, SHARED_BYTES, SHARED_BOXES } CudaShared;

typedef struct CudaText {
    const char *before;           // tables and functions of its own, or ""
    bool has_tables;              // named by the kernel
    const char *letter;           // parameters are b0, b1, ..; then its maps, m0, m1, ..
    const CudaParameter *parameters;   // by buffer
    uint32_t resident;            // blocks that are to share a multiprocessor's registers; 0: any number
    bool asks_lane, asks_blocks;  // beside `block`: `lane`, and how many `blocks` there are
    uint32_t works;               // rounds of what is dealt out, which the body calls `works`; 0: it has the number
    const char *likeness;         // of bodies that do: equal ones differ in `works` and in names of indices alone
    CudaShared shared;
    const char *body;             // lines, indented once; what it has of `block` is the same for all threads of a block
} CudaText;

// Kernels while more are made of them: first those of a code, by their numbers there.
typedef struct {
    Arena *arena;
    CudaKernel *list;
    uint32_t count;
    size_t capacity;
} KernelList;
KernelList kernel_list(Arena *arena, const CudaKernel *kernels, uint32_t count);
uint32_t kernel_list_add(KernelList *kernels, CudaKernel kernel);   // its number

// Of tensor cores, or a chain: its blocks have as many threads as the text says.
static inline bool kernel_has_fixed_blocks(const CudaKernel *kernel) { return kernel->text->resident > 0; }

const char *memory_text(DType dtype);   // what an element is in memory
// "const float *RESTRICT ", the last word only of what `may_be_alone`.
const char *parameter_text(Arena *arena, const CudaParameter *parameter, bool may_be_alone);
// As a kernel; as a function of the same parameters and `const int block, const int blocks`, with `const int works`
// behind them where the body asks for that.
void kernel_append(const CudaKernel *kernel, Text *out);
void kernel_append_function(const CudaKernel *kernel, const char *name, Text *out);
// Parts of a function: what stands before it; all behind its first line, in which its buffers, `block` and `blocks`
// have been declared.
void kernel_append_before(const CudaKernel *kernel, Text *out);
void kernel_append_rest(const CudaKernel *kernel, Text *out);

#endif
