// A kernel as data -> its text, as a kernel or as a function of others.
//
//     KERNEL(map_sub_33b7, 128)(const float *RESTRICT b0, float *RESTRICT b1) {       launched
//         const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
//         await_earlier();
//         body
//     }
//     INLINE void level_8a_0(const float *RESTRICT b0, .., const int block, const int blocks) {    called by one
//         const int lane = LANE;
//         body
//     }
#include "codegen/cuda/kernel.h"

#include "codegen/cuda/cuda.h"

const char *memory_text(DType dtype) {
    if (dtype == DTYPE_BF16 || dtype == DTYPE_F16) return "unsigned short";
    return dtype == DTYPE_BOOL ? "unsigned char" : dtype_text(dtype);
}

const char *parameter_text(Arena *arena, const CudaParameter *parameter, bool may_be_alone) {
    return arena_format(arena, "%s%s *%s", parameter->is_written ? "" : "const ", memory_text(parameter->dtype),
                        parameter->is_alone && may_be_alone ? "RESTRICT " : "");
}

static void append_parameters(const CudaKernel *kernel, Text *out) {
    const CudaText *text = kernel->text;
    Arena *scratch = arena_create();
    for (uint32_t b = 0; b < kernel->buffer_count; b++)
        text_append(out, "%s%s%s%u", b ? ", " : "", parameter_text(scratch, &text->parameters[b], true), text->letter,
                    b);
    for (uint32_t m = 0; m < kernel->map_count; m++)
        text_append(out, "%sTENSOR_MAP m%u", m + kernel->buffer_count ? ", " : "", m);
    arena_free(scratch);
}

static void append_lane(const CudaText *text, Text *out) {
    if (text->asks_lane) text_append(out, "    const int lane = LANE;\n");
}

static void append_works(const CudaText *text, Text *out) {
    if (text->works) text_append(out, "    const int works = %u;\n", text->works);
}

static void append_body(const CudaText *text, Text *out) {
    static const char *const shared[] = {
        [SHARED_NOT] = "", [SHARED_BYTES] = "    SHARED_MEMORY;\n", [SHARED_BOXES] = "    SHARED_BOXES;\n"};
    text_append(out, "%s%s}\n", shared[text->shared], text->body);
}

// Tables are named by their kernel, and stand in a unit once.
void kernel_append_before(const CudaKernel *kernel, Text *out) {
    const CudaText *text = kernel->text;
    if (text->has_tables) text_append(out, "#ifndef TABLES_%s\n#define TABLES_%s\n", kernel->name, kernel->name);
    text_append(out, "%s", text->before);
    if (text->has_tables) text_append(out, "#endif\n");
}

void kernel_append(const CudaKernel *kernel, Text *out) {
    const CudaText *text = kernel->text;
    kernel_append_before(kernel, out);
    if (text->resident > 0)
        text_append(out, "TENSOR_KERNEL(%s, %u, %u)(", kernel->name, kernel->threads, text->resident);
    else
        text_append(out, "KERNEL(%s, %u)(", kernel->name, kernel->threads);
    append_parameters(kernel, out);
    text_append(out, ") {\n    const int %sblock = (int)blockIdx.x%s;\n    await_earlier();\n",
                text->asks_lane ? "lane = LANE, " : "", text->asks_blocks ? ", blocks = (int)gridDim.x" : "");
    append_works(text, out);
    append_body(text, out);
}

void kernel_append_function(const CudaKernel *kernel, const char *name, Text *out) {
    kernel_append_before(kernel, out);
    text_append(out, "INLINE void %s(", name);
    append_parameters(kernel, out);
    text_append(out, "%sconst int block, const int blocks%s) {\n",
                kernel->buffer_count + kernel->map_count ? ", " : "", kernel->text->works ? ", const int works" : "");
    append_lane(kernel->text, out);
    append_body(kernel->text, out);
}

void kernel_append_rest(const CudaKernel *kernel, Text *out) {
    append_lane(kernel->text, out);
    append_works(kernel->text, out);
    append_body(kernel->text, out);
}

// ---- kernels that are made of others

KernelList kernel_list(Arena *arena, const CudaKernel *kernels, uint32_t count) {
    KernelList all = {.arena = arena};
    for (uint32_t k = 0; k < count; k++) kernel_list_add(&all, kernels[k]);
    return all;
}

uint32_t kernel_list_add(KernelList *kernels, CudaKernel kernel) {
    kernels->list = arena_grow(kernels->arena, kernels->list, &kernels->capacity, (size_t)kernels->count + 1,
                               sizeof kernel);
    kernels->list[kernels->count] = kernel;
    return kernels->count++;
}
