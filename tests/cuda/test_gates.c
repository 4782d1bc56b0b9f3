// Every kernel through NVIDIA's compiler, without a GPU: products spill no registers, and nothing is compiled otherwise
// than it was written. How long a whole step takes to compile is printed, for the character model and for GPT-2 124M.
//
//     gpt2 124M at level all, sm_90a: 550 steps in 529 launches of 64 kernels, ... compiled in 2.28 s; most registers
//     255 (row_square_norm_...)
//
// The gate takes level all; SINTER_GATES=all every level, dropout and biases, and both architectures. Where there is no
// NVRTC the tests are skipped, visibly.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/cuda/kernel.h"
#include "codegen/cuda/cubins.h"
#include "codegen/cuda/merge.h"
#include "codegen/cuda/persist.h"
#include "tests/cuda/cubin.h"
#include "tests/cuda/model_plans.h"
#include "tests/cuda/sweep_plan.h"
#include "tests/cuda/warpgroup_plan.h"
#include "tests/skipped.h"

enum { SKIPPED = 77, MOST_TENSOR_REGISTERS = 65536 / 3 / 128, MOST_LARGE_REGISTERS = 65536 / 256 };
enum { ALL_REGISTERS = 65536 };

static const Nvrtc *nvrtc;

#define CHARACTER                                                                                                      \
    {"n_layer", "4"}, {"n_head", "4"}, {"n_embd", "128"}, {"block_size", "64"}, {"batch_size", "12"},                  \
        {"vocab_size", "65"}, {"gradient_accumulation_steps", "1"}
#define GPT2_124M                                                                                                      \
    {"n_layer", "12"}, {"n_head", "12"}, {"n_embd", "768"}, {"block_size", "1024"}, {"batch_size", "16"},              \
        {"vocab_size", "50304"}, {"gradient_accumulation_steps", "1"}
#define LLAMA                                                                                                          \
    {"n_layer", "2"}, {"n_head", "4"}, {"n_kv_head", "2"}, {"n_embd", "128"}, {"n_ffn", "344"},                        \
        {"block_size", "64"}, {"batch_size", "4"}, {"vocab_size", "65"}, {"gradient_accumulation_steps", "1"}

// ---- kernels for tensor cores

typedef struct {
    uint32_t kernels;
    int registers, products, instructions;
    size_t shared_bytes;
} TensorGate;

static const CudaUsage *usage_of(const CudaObject *object, const char *name) {
    for (uint32_t i = 0; i < object->kernel_count; i++)
        if (strcmp(object->kernels[i].name, name) == 0) return &object->kernels[i];
    fail_msg("no kernel %s", name);
    return NULL;
}

// A merged one has its parts as functions.
static bool has_text(const CudaKernel *kernel, const char *what) {
    return strstr(kernel->text->body, what) || strstr(kernel->text->before, what);
}

// Three blocks of 128 threads, or one of 256, find registers on a multiprocessor, of merged sweeps two of 128; what the
// text says in tensor cores, asynchronous copies and loads of matrices is that in machine code.
static void check_tensor(const CudaKernel *kernel, const CudaObject *object, const Target *target, TensorGate *gate) {
    const CudaUsage *usage = usage_of(object, kernel->name);
    int products = cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_HMMA);
    int copies = cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_LDGSTS);
    int matrices = cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_LDSM);
    bool is_large = kernel->threads > 128 || has_text(kernel, "rows_of_sums_");
    int most = is_large ? MOST_LARGE_REGISTERS : MOST_TENSOR_REGISTERS;
    if (usage->registers > most) fail_msg("%s takes %d registers", kernel->name, usage->registers);
    if (usage->spill_store_bytes + usage->spill_load_bytes + usage->stack_bytes > 0)
        fail_msg("%s spills", kernel->name);
    if (products < 4 || copies < 2) fail_msg("%s: %d HMMA, %d LDGSTS", kernel->name, products, copies);
    if (has_text(kernel, "_by_rows_tf32") && matrices == 0) fail_msg("%s loads no matrices", kernel->name);
    assert_true((double)kernel->shared_bytes <= target->l1_bytes);
    gate->kernels++;
    if (usage->registers > gate->registers) gate->registers = usage->registers;
    if (kernel->shared_bytes > gate->shared_bytes) gate->shared_bytes = kernel->shared_bytes;
    if (products >= gate->products) return;
    gate->products = products;
    gate->instructions = cubin_instructions(object->cubin, object->cubin_bytes, kernel->name);
}

// Products of warpgroups: wgmma, boxes, barriers and registers handed over are in the machine code.
static void check_warpgroup(const CudaKernel *kernel, const CudaObject *object, const Target *target,
                            TensorGate *gate) {
    const CudaUsage *usage = usage_of(object, kernel->name);
    int products = cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_HGMMA);
    int boxes = cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_UTMALDG);
    int barriers = cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_SYNCS);
    int handed = cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_USETMAXREG);
    if (products < 4 || boxes < 2 || barriers < 4)
        fail_msg("%s: %d HGMMA, %d UTMALDG, %d SYNCS", kernel->name, products, boxes, barriers);
    if (handed != (kernel->threads > 256 ? 2 : 0)) fail_msg("%s: %d USETMAXREG", kernel->name, handed);
    if (usage->registers * (int)kernel->threads > ALL_REGISTERS)
        fail_msg("%s takes %d registers", kernel->name, usage->registers);
    if (usage->spill_store_bytes + usage->spill_load_bytes + usage->stack_bytes > 0)
        fail_msg("%s spills", kernel->name);
    assert_true((double)kernel->shared_bytes <= target->l1_bytes);
    gate->kernels++;
    if (usage->registers > gate->registers) gate->registers = usage->registers;
    if (kernel->shared_bytes > gate->shared_bytes) gate->shared_bytes = kernel->shared_bytes;
    if (products < gate->products) gate->products = products;
}

// As many blocks as share a multiprocessor's shared memory find registers there, too.
static void check_chain(const CudaKernel *kernel, const CudaObject *object, const Target *target) {
    const CudaUsage *usage = usage_of(object, kernel->name);
    int resident = target_resident_blocks(target, (double)kernel->shared_bytes);
    print_message("    %s: %u threads, %d registers, %zu bytes of shared memory, %d blocks at once\n", kernel->name,
                  kernel->threads, usage->registers, kernel->shared_bytes, resident);
    bool is_tensor = has_text(kernel, "multiply_tf32(&") || has_text(kernel, "multiply_bf16(&") ||
                     has_text(kernel, "multiply_f16(&");
    if (is_tensor && resident > 2) resident = 2;
    assert_true((double)kernel->shared_bytes <= target->l1_bytes);
    assert_true(usage->registers * (int)kernel->threads * resident <= 65536);
    if (is_tensor) assert_true(cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_HMMA) > 3);
    if (usage->spill_store_bytes + usage->spill_load_bytes + usage->stack_bytes > 0)
        fail_msg("%s spills", kernel->name);
}

// As many blocks as the text says find registers on a multiprocessor; products of tiles are in tensor cores, and what
// they read is copied and loaded as matrices.
static void check_sweep(const CudaKernel *kernel, const CudaObject *object, const Target *target) {
    const CudaUsage *usage = usage_of(object, kernel->name);
    int products = cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_HMMA);
    int copies = cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_LDGSTS);
    int matrices = cubin_count(object->cubin, object->cubin_bytes, kernel->name, OPCODE_LDSM);
    int resident = (int)kernel->text->resident;
    print_message("    %s: %u threads, %d blocks at once, %d registers, %zu bytes of shared memory; %d HMMA in %d "
                  "instructions\n",
                  kernel->name, kernel->threads, resident, usage->registers, kernel->shared_bytes, products,
                  cubin_instructions(object->cubin, object->cubin_bytes, kernel->name));
    assert_true(resident > 0 && usage->registers * (int)kernel->threads * resident <= ALL_REGISTERS);
    assert_true((double)kernel->shared_bytes <= target->l1_bytes);
    if (products < 16 || copies < 4 || matrices < 8)
        fail_msg("%s: %d HMMA, %d LDGSTS, %d LDSM", kernel->name, products, copies, matrices);
    if (usage->spill_store_bytes + usage->stack_bytes > 0)
        fail_msg("%s spills %zu bytes", kernel->name, usage->spill_store_bytes);
}

static bool is_sweep(const CudaKernel *kernel) { return strncmp(kernel->name, "sweep", 5) == 0; }

// What ptxas says of every kernel; the ones that spill are named, products must not.
static const CudaUsage *check_usage(const CudaCode *code, const CudaImages *images, const CubinReport *cubins) {
    const CudaUsage *most = NULL;
    for (uint32_t i = 0; i < code->kernel_count; i++) {
        const CudaUsage *usage = usage_of(&cubins->objects[images->cubin_of[i]], code->kernels[i].name);
        if (!most || usage->registers > most->registers) most = usage;
        if (usage->spill_store_bytes + usage->spill_load_bytes + usage->stack_bytes == 0) continue;
        print_message("    %s: %d registers, stack %zu, spills %zu and %zu bytes\n", usage->name, usage->registers,
                      usage->stack_bytes, usage->spill_store_bytes, usage->spill_load_bytes);
        bool has_product = strncmp(usage->name, "product", 7) == 0 || has_text(&code->kernels[i], "fmaf(");
        if (has_product) fail_msg("%s spills", usage->name);
    }
    for (uint32_t u = 0; u < cubins->units; u++) assert_int_equal(cubins->objects[u].advisory_count, 0);
    return most;
}

// A kernel that begins early waits before it touches memory, and lets others in behind that; one that does not has none
// of this.
static void check_beginning(const CudaKernel *kernel, const CudaObject *object, bool is_early) {
    static const unsigned touching[] = {OPCODE_LDG, OPCODE_STG, OPCODE_LDGSTS, OPCODE_UTMALDG};
    int wait = cubin_first(object->cubin, object->cubin_bytes, kernel->name, OPCODE_ACQBULK);
    int letting = cubin_first(object->cubin, object->cubin_bytes, kernel->name, OPCODE_PREEXIT), touched = INT32_MAX;
    for (size_t i = 0; i < sizeof touching / sizeof *touching; i++) {
        int first = cubin_first(object->cubin, object->cubin_bytes, kernel->name, touching[i]);
        if (first >= 0 && first < touched) touched = first;
    }
    if (touched == INT32_MAX) fail_msg("%s touches no memory", kernel->name);
    if (!is_early && (wait >= 0 || letting >= 0)) fail_msg("%s has griddepcontrol", kernel->name);
    if (is_early && !(wait >= 0 && wait < letting && wait < touched))
        fail_msg("%s waits at instruction %d, touches memory at %d and lets others in at %d", kernel->name, wait,
                 touched, letting);
}

static CubinReport compile(Arena *arena, const CudaCode *code, const char *architecture, CudaImages *images) {
    CubinReport cubins;
    Diags *diags = diags_create(arena);
    if (!cubins_make(nvrtc, NULL, arena, code, architecture, images, &cubins, diags)) {
        Text words = text_create(arena);
        diags_render(diags, &words);
        fail_msg("%.4000s", text_string(&words));
    }
    return cubins;
}

static void compile_chosen(const char *name, ModelCase which, const char *choices, const char *architecture) {
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Target target;
    assert_true(target_of_gpu(architecture, &target));
    const Plan *plan = model_plan_chosen(arena, &which, choices, &target, NULL);
    CudaReport report = {0};
    CudaCode *code = codegen_cuda(&plan, &name, 1, &target, &report, diags);
    assert_non_null(code);
    cuda_merge_launches(code, &target);
    code->begins_early = strcmp(architecture, "sm_90a") == 0; // as where the device can do that
    CudaImages images;
    CubinReport cubins = compile(arena, code, architecture, &images);
    const CudaUsage *most = check_usage(code, &images, &cubins);
    TensorGate tensor = {.products = INT32_MAX}, warpgroups = tensor;
    for (uint32_t i = 0; i < code->kernel_count; i++)
        check_beginning(&code->kernels[i], &cubins.objects[images.cubin_of[i]], code->begins_early);
    for (uint32_t i = 0; i < code->kernel_count; i++) {
        const CudaObject *object = &cubins.objects[images.cubin_of[i]];
        if (strncmp(code->kernels[i].name, "chain", 5) == 0)
            check_chain(&code->kernels[i], object, &target);
        else if (is_sweep(&code->kernels[i]))
            check_sweep(&code->kernels[i], object, &target);
        else if (code->kernels[i].map_count > 0)
            check_warpgroup(&code->kernels[i], object, &target, &warpgroups);
        else if (code->kernels[i].shared_bytes > 0)
            check_tensor(&code->kernels[i], object, &target, &tensor);
    }
    print_message("%s at level %s, %s: %u steps in %u launches of %u kernels; lowered and printed in %.0f ms, compiled "
                  "in %.2f s; most registers %d (%s)\n",
                  name, fuse_name(which.level), architecture, report.kernels, code->programs[0].launch_count,
                  code->kernel_count,
                  1e3 * (report.lower_seconds + report.print_seconds), cubins.seconds, most->registers, most->name);
    if (tensor.kernels > 0)
        print_message(
            "    %u of them for tensor cores: at most %d registers and %zu bytes of shared memory, at least %d HMMA "
            "in %d instructions\n",
            tensor.kernels, tensor.registers, tensor.shared_bytes, tensor.products, tensor.instructions);
    if (warpgroups.kernels > 0)
        print_message("    %u of them for warpgroups: at most %d registers at first and %zu bytes of shared memory\n",
                      warpgroups.kernels, warpgroups.registers, warpgroups.shared_bytes);
    cuda_code_free(code);
    arena_free(arena);
}

static void compile_case(const char *name, ModelCase which, const char *architecture) {
    compile_chosen(name, which, NULL, architecture);
}

// With the chains of attention, whatever the cost model finds; products are those of mma.sync.
static void chained_case(const char *name, ModelCase which, const char *architecture) {
    compile_chosen(name, which, "forbid choose_warpgroups\nmake plan_chains at *.p\n", architecture);
}

static bool takes_all(void) {
    const char *setting = getenv("SINTER_GATES");
    return setting && strcmp(setting, "all") == 0;
}

// ---- cooperative kernels of many launches

// What ptxas says of each body that spills; products and chains must not. "Function properties for
// .._persistent_4b_7E..", and behind it the bytes.
static void check_bodies(const char *text, const CudaObject *object) {
    static const char mark[] = "Function properties for ", bytes[] = " bytes spill stores, ";
    for (const char *at = object->log; (at = strstr(at, mark)); at += sizeof mark) {
        const char *name = strstr(at, "persistent_"), *line = strchr(at, '\n'), *spills = strstr(at, bytes);
        if (!name || !line || !spills || name > line || strncmp(spills - 2, " 0", 2) == 0) continue;
        char beginning[64], body[64] = "";
        snprintf(beginning, sizeof beginning, "\nBODY(%.*s)", (int)strspn(name, "persistent_0123456789abcdef"), name);
        const char *begin = strstr(text, beginning);
        if (!begin) continue;   // the kernel itself: around its calls
        while (begin[-1] != '\n') begin--;
        sscanf(begin, "// %63s", body);
        print_message("    %s: %.*s\n", body, (int)strcspn(spills, "\n"), spills - 3);
        if (strncmp(body, "product", 7) == 0 || strncmp(body, "chain", 5) == 0) fail_msg("%s spills", body);
    }
}

static void compile_persistent(const char *name, ModelCase which, const char *architecture) {
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Target target;
    assert_true(target_of_gpu(architecture, &target));
    const Plan *plan = model_plan(arena, &which, &target, NULL);
    CudaCode *code = codegen_cuda(&plan, &name, 1, &target, NULL, diags);
    assert_non_null(code);
    uint32_t launches = code->programs[0].launch_count, kernels = 0, registers = 0;
    ((CudaProgram *)code->programs)->is_persistent = true;
    cuda_persist(code, &target);
    CudaImages images;
    CubinReport cubins = compile(arena, code, architecture, &images);
    for (uint32_t i = 0; i < code->kernel_count; i++) {
        const CudaKernel *kernel = &code->kernels[i];
        const CudaObject *object = &cubins.objects[images.cubin_of[i]];
        const CudaUsage *usage = usage_of(object, kernel->name);
        if (!kernel->is_cooperative) continue;
        Text text = text_create(arena);
        cuda_kernels_source(code, i, 1, &text);
        check_bodies(text_string(&text), object);
        assert_null(strstr(text_string(&text), "RESTRICT"));   // all of memory changes
        assert_true(usage->registers * (int)kernel->threads <= ALL_REGISTERS);
        assert_true((double)kernel->shared_bytes <= target.l1_bytes);
        if ((uint32_t)usage->registers > registers) registers = (uint32_t)usage->registers;
        kernels++;
    }
    print_message("%s, persistent, %s: %u launches as %u, %u of them cooperative; at most %u registers; compiled in "
                  "%.2f s\n",
                  name, architecture, launches, code->programs[0].launch_count, kernels, registers, cubins.seconds);
    assert_true(kernels > 0);
    cuda_code_free(code);
    arena_free(arena);
}

static void persistent(void **state) {
    (void)state;
    ModelCase character = {"gpt2", FUSE_ALL, MODEL_STEP, {CHARACTER}};
    ModelCase in_tf32 = {"gpt2", FUSE_ALL, MODEL_STEP, {CHARACTER, {"tf32", "True"}}};
    compile_persistent("character model", character, "sm_90a");
    if (takes_all()) compile_persistent("character model in tf32", in_tf32, "sm_80");
}

static void compile_warpgroups(const char *text, TensorTile tile) {
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    const Plan *plan = warpgroup_plan(arena, text, tile);
    const char *name = "products";
    CudaCode *code = codegen_cuda(&plan, &name, 1, &target, NULL, diags);
    CudaImages images;
    CubinReport cubins = compile(arena, code, "sm_90a", &images);
    check_usage(code, &images, &cubins);
    TensorGate gate = {.products = INT32_MAX};
    for (uint32_t i = 0; i < code->kernel_count; i++)
        if (code->kernels[i].map_count > 0)
            check_warpgroup(&code->kernels[i], &cubins.objects[images.cubin_of[i]], &target, &gate);
    print_message("%u kernels of %u by %u, %u stages: at least %d HGMMA, at most %d registers at first and %zu bytes "
                  "of shared memory; compiled in %.2f s\n",
                  gate.kernels, tile.rows, tile.lanes, tile.stages, gate.products, gate.registers, gate.shared_bytes,
                  cubins.seconds);
    cuda_code_free(code);
    arena_free(arena);
}

static void warpgroups(void **state) {
    (void)state;
    static const uint32_t blocks[][4] = {{64, 64, 4},    {64, 256, 4},     {128, 64, 4}, {128, 128, 4},
                                         {128, 192, 4},   {128, 256, 4},    {256, 128, 4},
                                         {64, 256, 4, 1}, {128, 128, 6, 1}};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        TensorTile tile = {TENSOR_BF16, blocks[i][0], blocks[i][1], blocks[i][2], true, blocks[i][3]};
        bool has_long_sums = tile.rows == 256 || tile.in_turns || i % 2;
        compile_warpgroups(has_long_sums ? warpgroup_four_ways : warpgroup_batches, tile);
    }
}

// Attention of long sequences, forward and backward: three sweeps.
static void compile_sweeps(SweepCase how, const char *architecture) {
    Arena *arena = arena_create();
    Target target;
    assert_true(target_of_gpu(architecture, &target));
    how.parts = SWEEP_ALL, how.mask = MASK_CAUSAL, how.in_one = true;
    how.queries = how.keys = 1024, how.heads = 4, how.batch = 2;
    // Two results of 128 lanes leave registers for tiles of half as many columns.
    how.columns = how.width > 64 ? 32 : 64;
    const Plan *plan = sweep_plan(arena, &how, &target);
    CudaCode *code = codegen_cuda(&plan, &how.name, 1, &target, NULL, diags_create(arena));
    assert_non_null(code);
    CudaImages images;
    CubinReport cubins = compile(arena, code, architecture, &images);
    check_usage(code, &images, &cubins);
    print_message("%s, %s, lines of %d, blocks of %d rows:\n", how.name, architecture, how.width ? how.width : 64,
                  how.rows ? how.rows : 64);
    uint32_t found = 0;
    for (uint32_t i = 0; i < code->kernel_count; i++) {
        if (!is_sweep(&code->kernels[i])) continue;
        check_sweep(&code->kernels[i], &cubins.objects[images.cubin_of[i]], &target);
        found++;
    }
    assert_int_equal(found, 3);
    cuda_code_free(code);
    arena_free(arena);
}

static void sweeps(void **state) {
    (void)state;
    for (int width = 64; width <= 128; width += 64) {
        compile_sweeps((SweepCase){.name = "sweeps", .rows = 128, .width = width}, "sm_90a");
        compile_sweeps((SweepCase){.name = "sweeps in f16", .width = width, .in_f16 = true}, "sm_80");
    }
    compile_sweeps((SweepCase){.name = "dropped", .rows = 128, .dropped = true}, "sm_90a");
    compile_sweeps((SweepCase){.name = "capped", .capped = true}, "sm_90a");
}

static void character_model(void **state) {
    (void)state;
    for (FuseLevel level = takes_all() ? FUSE_NONE : FUSE_ALL; level <= FUSE_ALL; level++)
        compile_case("character model", (ModelCase){"gpt2", level, MODEL_STEP, {CHARACTER}}, "sm_90a");
    compile_case("character model", (ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {CHARACTER}}, "sm_80");
}

static void with_dropout_and_bias(void **state) {
    (void)state;
    if (!takes_all()) SKIP_TEST("only with SINTER_GATES=all");
    ModelCase which = {"gpt2", FUSE_ALL, MODEL_STEP, {CHARACTER, {"dropout", "0.2"}, {"bias", "True"}}};
    compile_case("character model with dropout and bias", which, "sm_90a");
}

static void llama(void **state) {
    (void)state;
    compile_case("llama", (ModelCase){"llama", FUSE_ALL, MODEL_STEP, {LLAMA}}, "sm_90a");
}

static void tensor_cores(void **state) {
    (void)state;
    compile_case("character model in tf32", (ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {CHARACTER, {"tf32", "True"}}},
                 "sm_80");
    compile_case("llama in tf32", (ModelCase){"llama", FUSE_ALL, MODEL_STEP, {LLAMA, {"tf32", "True"}}}, "sm_90a");
    compile_case("gpt2 124M in tf32", (ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {GPT2_124M, {"tf32", "True"}}},
                 "sm_90a");
    compile_case("gpt2 124M in tf32", (ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {GPT2_124M, {"tf32", "True"}}},
                 "sm_80");
}

static void tensor_cores_in_bf16(void **state) {
    (void)state;
    ModelCase character = {"gpt2", FUSE_ALL, MODEL_STEP, {CHARACTER, {"dtype", "bfloat16"}}};
    ModelCase gpt2_124m = {"gpt2", FUSE_ALL, MODEL_STEP, {GPT2_124M, {"dtype", "bfloat16"}}};
    compile_case("character model in bf16", character, "sm_90a");
    compile_case("llama in bf16", (ModelCase){"llama", FUSE_ALL, MODEL_STEP, {LLAMA, {"dtype", "bfloat16"}}}, "sm_80");
    compile_case("gpt2 124M in bf16", gpt2_124m, "sm_90a");
    compile_case("gpt2 124M in bf16", gpt2_124m, "sm_80");
}

// Its kernels are those of bf16 but for the conversions.
static void tensor_cores_in_f16(void **state) {
    (void)state;
    ModelCase character = {"gpt2", FUSE_ALL, MODEL_STEP, {CHARACTER, {"dtype", "float16"}}};
    ModelCase gpt2_124m = {"gpt2", FUSE_ALL, MODEL_STEP, {GPT2_124M, {"dtype", "float16"}}};
    compile_case("character model in f16", character, "sm_80");
    compile_case("gpt2 124M in f16", gpt2_124m, "sm_90a");
    if (!takes_all()) return;
    compile_case("character model in f16", character, "sm_90a");
    compile_case("llama in f16", (ModelCase){"llama", FUSE_ALL, MODEL_STEP, {LLAMA, {"dtype", "float16"}}}, "sm_90a");
    compile_case("gpt2 124M in f16", gpt2_124m, "sm_80");
}

static void gpt2_124m(void **state) {
    (void)state;
    compile_case("gpt2 124M", (ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {GPT2_124M}}, "sm_90a");
    if (takes_all()) compile_case("gpt2 124M", (ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {GPT2_124M}}, "sm_80");
}

// Attention's chains: the forward and the backward one of a layer, with dropout, too; without chains, what one layer
// and few tokens make of products: rows of 65 elements, and the embeddings in an epilogue.
static void one_layer(void **state) {
    (void)state;
    ModelCase layer = {"gpt2", FUSE_ALL, MODEL_STEP, {GPT2_124M, {"n_layer", "1"}, {"vocab_size", "65"}}};
    ModelCase dropped = {"gpt2", FUSE_ALL, MODEL_STEP, {GPT2_124M, {"n_layer", "1"}, {"dropout", "0.1"}}};
    ModelCase in_bf16 = {"gpt2", FUSE_ALL, MODEL_STEP,
                         {GPT2_124M, {"n_layer", "1"}, {"vocab_size", "65"}, {"dtype", "bfloat16"}}};
    ModelCase in_tf32 = {"gpt2", FUSE_ALL, MODEL_STEP,
                         {GPT2_124M, {"n_layer", "1"}, {"vocab_size", "65"}, {"tf32", "True"}}};
    ModelCase in_f16 = {"gpt2", FUSE_ALL, MODEL_STEP,
                        {GPT2_124M, {"n_layer", "1"}, {"vocab_size", "65"}, {"dtype", "float16"}}};
    compile_case("a layer of gpt2 124M in bf16", in_bf16, "sm_90a");
    compile_case("a layer of gpt2 124M in tf32", in_tf32, "sm_80");
    chained_case("a layer of gpt2 124M in bf16", in_bf16, "sm_90a");
    chained_case("a layer of gpt2 124M in f16", in_f16, "sm_90a");
    if (takes_all()) chained_case("a layer of gpt2 124M in tf32", in_tf32, "sm_90a");
    compile_case("a layer of gpt2 124M", layer, "sm_80");
    compile_case("a layer of gpt2 124M with dropout", dropped, "sm_90a");
}

int main(void) {
    Arena *arena = arena_create();
    const char *why;
    nvrtc = nvrtc_open(arena, &why);
    if (!nvrtc) {
        note_skipped(__FILE__, "all compile gates", why);
        arena_free(arena);
        return SKIPPED;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(character_model),
        cmocka_unit_test(persistent),
        cmocka_unit_test(with_dropout_and_bias),
        cmocka_unit_test(llama),
        cmocka_unit_test(gpt2_124m),
        cmocka_unit_test(one_layer),
        cmocka_unit_test(tensor_cores),
        cmocka_unit_test(tensor_cores_in_bf16),
        cmocka_unit_test(tensor_cores_in_f16),
        cmocka_unit_test(warpgroups),
        cmocka_unit_test(sweeps),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(arena);
    return failed;
}
