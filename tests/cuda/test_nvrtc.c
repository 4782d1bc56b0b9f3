// NVRTC at run time: code, what ptxas says of it, errors in its own words; and a library that is absent, too old or
// broken, played by a table of our own. Where there is no NVRTC the compiling tests are skipped, visibly.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/library.h"
#include "codegen/cuda/cubins.h"
#include "codegen/cuda/kernel.h"
#include "codegen/cuda/nvrtc.h"
#include "codegen/cuda/service.h"
#include "cubin.h"
#include "tests/skipped.h"

enum { SKIPPED = 77 };  // ctest shows it as such

typedef struct {
    Arena *arena;
    Diags *diags;
    const Nvrtc *nvrtc;
} Bench;

static int set_up(void **state) {
    Arena *arena = arena_create();
    Bench *bench = ARENA_NEW(arena, Bench);
    bench->arena = arena;
    bench->diags = diags_create(arena);
    const char *why;
    bench->nvrtc = nvrtc_open(arena, &why);
    *state = bench;
    return 0;
}

static int tear_down(void **state) {
    arena_free(((Bench *)*state)->arena);
    return 0;
}

static const char *complaints(Bench *bench) {
    Text text = text_create(bench->arena);
    diags_render(bench->diags, &text);
    return text_string(&text);
}

static bool compile(Bench *bench, const char *architecture, const char *text, CudaObject *object) {
    static const char *const options[] = {"--fmad=false", NULL};
    CudaSource source = {.name = "test.cu", .text = text, .architecture = architecture, .options = options};
    return nvrtc_compile(bench->nvrtc, bench->arena, &source, object, bench->diags);
}

static const char two_kernels[] =
    "extern \"C\" __global__ void __launch_bounds__(128) turn(const float *a, float *b) {\n"
    "    __shared__ float s[128];\n"
    "    s[threadIdx.x] = a[threadIdx.x];\n"
    "    __syncthreads();\n"
    "    b[threadIdx.x] = a[threadIdx.x] * 2.0f + s[127 - threadIdx.x];\n"
    "}\n"
    "extern \"C\" __global__ void fill(float *b) { b[threadIdx.x] = 1.0f; }\n";

static const CudaUsage *usage_of(const CudaObject *object, const char *name) {
    for (uint32_t i = 0; i < object->kernel_count; i++) {
        if (text_equal(object->kernels[i].name, name)) return &object->kernels[i];
    }
    return NULL;
}

static void source_becomes_a_cubin_with_its_usage(void **state) {
    Bench *bench = *state;
    CudaObject object;
    assert_true(compile(bench, "sm_90a", two_kernels, &object));
    assert_int_equal(diags_count(bench->diags), 0);
    assert_int_equal(object.kernel_count, 2);
    const CudaUsage *turn = usage_of(&object, "turn"), *fill = usage_of(&object, "fill");
    assert_non_null(turn);
    assert_non_null(fill);
    assert_in_range(turn->registers, 4, 64);
    assert_int_equal(turn->shared_bytes, 512);
    assert_int_equal(turn->barriers, 1);
    assert_int_equal(turn->spill_store_bytes + turn->spill_load_bytes + turn->stack_bytes, 0);
    assert_int_equal(fill->shared_bytes, 0);
    assert_int_equal(object.advisory_count, 0);
    assert_non_null(strstr(object.ptx, ".entry turn"));
    assert_true(cubin_instructions(object.cubin, object.cubin_bytes, "turn") > 4);
    assert_int_equal(cubin_instructions(object.cubin, object.cubin_bytes, "absent"), -1);
    assert_int_equal(cubin_instructions(object.cubin, 100, "turn"), -1);
}

static void the_same_source_gives_the_same_bytes(void **state) {
    Bench *bench = *state;
    CudaObject first, second;
    assert_true(compile(bench, "sm_80", two_kernels, &first));
    assert_true(compile(bench, "sm_80", two_kernels, &second));
    assert_int_equal(first.cubin_bytes, second.cubin_bytes);
    assert_memory_equal(first.cubin, second.cubin, first.cubin_bytes);
}

// `turn` would have a fused multiply-add: 0x223 FFMA, 0x220 FMUL, 0x221 FADD.
static void multiplications_and_additions_stay_apart(void **state) {
    Bench *bench = *state;
    CudaObject object;
    static const char text[] = "extern \"C\" __global__ void f(const float *a, float *b) {\n"
                               "    b[threadIdx.x] = a[threadIdx.x] * a[threadIdx.x + 32] + a[threadIdx.x + 64];\n"
                               "}\n"
                               "extern \"C\" __global__ void g(const float *a, float *b) {\n"
                               "    b[threadIdx.x] = __fmaf_rn(a[threadIdx.x], a[threadIdx.x + 32], a[7]);\n"
                               "}\n";
    assert_true(compile(bench, "sm_90a", text, &object));
    assert_int_equal(cubin_count(object.cubin, object.cubin_bytes, "f", 0x223), 0);
    assert_int_equal(cubin_count(object.cubin, object.cubin_bytes, "g", 0x223), 1);
}

static void spills_are_counted(void **state) {
    Bench *bench = *state;
    CudaObject object;
    static const char text[] =
        "extern \"C\" __global__ void __launch_bounds__(1024, 2) crowd(const float *a, float *b) {\n"
        "    float x[64];\n"
        "    for (int i = 0; i < 64; i++) x[i] = a[i * 1024 + threadIdx.x];\n"
        "    __syncthreads();\n"
        "    for (int i = 0; i < 64; i++) for (int j = 0; j < 64; j++) x[i] = x[i] * x[j] + a[j];\n"
        "    __syncthreads();\n"
        "    for (int i = 0; i < 64; i++) b[i * 1024 + threadIdx.x] = x[63 - i];\n"
        "}\n";
    assert_true(compile(bench, "sm_90a", text, &object));
    const CudaUsage *crowd = usage_of(&object, "crowd");
    assert_non_null(crowd);
    assert_in_range(crowd->registers, 16, 32);
    assert_true(crowd->spill_store_bytes > 0);
    assert_true(crowd->spill_load_bytes > 0);
}

static void tensor_core_instructions_are_found(void **state) {
    Bench *bench = *state;
    CudaObject object;
    static const char text[] =
        "extern \"C\" __global__ void product(const unsigned *a, float *c) {\n"
        "    float d[4] = {0, 0, 0, 0};\n"
        "    const unsigned *f = a + 6 * threadIdx.x;\n"
        "    for (int k = 0; k < 3; k++)\n"
        "        asm volatile(\"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, \"\n"
        "                     \"{%8,%9}, {%0,%1,%2,%3};\" : \"+f\"(d[0]), \"+f\"(d[1]), \"+f\"(d[2]), \"+f\"(d[3])\n"
        "                     : \"r\"(f[0]), \"r\"(f[1]), \"r\"(f[2]), \"r\"(f[3]), \"r\"(f[4]), \"r\"(f[5]));\n"
        "    for (int i = 0; i < 4; i++) c[4 * threadIdx.x + i] = d[i];\n"
        "}\n";
    static const char *const architectures[] = {"sm_80", "sm_90a"};
    for (int i = 0; i < 2; i++) {
        assert_true(compile(bench, architectures[i], text, &object));
        assert_int_equal(cubin_count(object.cubin, object.cubin_bytes, "product", OPCODE_HMMA), 3);
        assert_int_equal(cubin_count(object.cubin, object.cubin_bytes, "product", OPCODE_HGMMA), 0);
    }
}

static void virtual_architectures_give_ptx_alone(void **state) {
    Bench *bench = *state;
    CudaObject object;
    assert_true(compile(bench, "compute_90a", two_kernels, &object));
    assert_null(object.cubin);
    assert_non_null(strstr(object.ptx, ".target sm_90a"));
    assert_true(nvrtc_knows(bench->nvrtc, "sm_90a"));
    assert_false(nvrtc_knows(bench->nvrtc, "sm_77"));
}

static void errors_stand_at_their_line(void **state) {
    Bench *bench = *state;
    CudaObject object;
    static const char text[] = "extern \"C\" __global__ void f(float *b) {\n    b[0] = nothing;\n}\n";
    assert_false(compile(bench, "sm_90a", text, &object));
    const char *words = complaints(bench);
    assert_non_null(strstr(words, "test.cu:2:1: error: identifier \"nothing\" is undefined"));
    assert_non_null(strstr(words, "b[0] = nothing;"));
    assert_int_equal(diags_errors(bench->diags), 1);
}

static void errors_of_the_assembler_are_shown(void **state) {
    Bench *bench = *state;
    CudaObject object;
    static const char text[] = "extern \"C\" __global__ void f() { asm(\"bogus.instr %0;\" :: \"r\"(1)); }\n";
    assert_false(compile(bench, "sm_90a", text, &object));
    const char *words = complaints(bench);
    assert_non_null(strstr(words, "NVRTC cannot compile test.cu for sm_90a"));
    assert_non_null(strstr(words, "bogus"));
}

static void unknown_architectures_are_refused(void **state) {
    Bench *bench = *state;
    CudaObject object;
    assert_false(compile(bench, "sm_77", two_kernels, &object));
    assert_non_null(strstr(complaints(bench), "gpu-architecture"));
}

// The kernels around a step: small, and no spills.
static void the_service_kernels_compile(void **state) {
    Bench *bench = *state;
    static const char *const architectures[] = {"sm_80", "sm_90a"};
    for (int i = 0; i < 2; i++) {
        CudaObject object;
        assert_true(compile(bench, architectures[i], cuda_service_source, &object));
        const CudaUsage *take = usage_of(&object, "sinter_take"), *give = usage_of(&object, "sinter_give");
        assert_non_null(take);
        assert_non_null(give);
        assert_non_null(usage_of(&object, "sinter_nothing"));
        assert_int_equal(take->spill_store_bytes + take->stack_bytes + give->spill_store_bytes + give->stack_bytes, 0);
        assert_true(take->registers <= 40);
    }
}

static void a_cubin_is_compiled_once(void **state) {
    Bench *bench = *state;
    char root[] = "/tmp/sinter-cubins-XXXXXX";
    assert_non_null(mkdtemp(root));
    Cache *cache = cache_open(bench->arena, arena_format(bench->arena, "%s/sinter/code", root), 1 << 24, bench->diags);
    CudaSource source = {.name = "test.cu", .text = two_kernels, .architecture = "sm_90a"};
    CudaObject cold, warm, other;
    assert_false(cubin_recall(bench->nvrtc, cache, bench->arena, &source, &cold));
    assert_true(nvrtc_compile(bench->nvrtc, bench->arena, &source, &cold, bench->diags));
    cubin_remember(bench->nvrtc, cache, &source, &cold);
    assert_true(cubin_recall(bench->nvrtc, cache, bench->arena, &source, &warm));
    assert_int_equal(warm.cubin_bytes, cold.cubin_bytes);
    assert_memory_equal(warm.cubin, cold.cubin, cold.cubin_bytes);
    assert_int_equal(usage_of(&warm, "turn")->shared_bytes, 512);
    source.architecture = "sm_80";
    assert_false(cubin_recall(bench->nvrtc, cache, bench->arena, &source, &other));
    source.architecture = "sm_90a";
    static const char *const options[] = {"--fmad=false", NULL};
    source.options = options;
    assert_false(cubin_recall(bench->nvrtc, cache, bench->arena, &source, &other));
    assert_int_equal(system(arena_format(bench->arena, "rm -rf %s", root)), 0);
    assert_int_equal(diags_count(bench->diags), 0);
}

// ---- many kernels, in units that are compiled side by side

enum { KERNELS = 21 };

static CudaCode code_of_many(Bench *bench, int wrong) {
    static const CudaParameter parameter = {DTYPE_F32, true, false};
    CudaKernel *kernels = ARENA_ARRAY(bench->arena, CudaKernel, KERNELS);
    for (int k = 0; k < KERNELS; k++) {
        const char *name = arena_format(bench->arena, "many_%d", k);
        const char *body = arena_format(bench->arena, "    b0[LANE] = %d.0f%s;\n", k, k == wrong ? " + nothing" : "");
        CudaText *text = ARENA_NEW(bench->arena, CudaText);
        *text = (CudaText){.before = "", .letter = "b", .parameters = &parameter, .body = body};
        kernels[k] = (CudaKernel){.name = name, .text = text, .buffer_count = 1, .threads = 64};
    }
    return (CudaCode){
        .common = "#define KERNEL(name, threads) extern \"C\" __global__ void __launch_bounds__(threads) name\n"
                  "#define LANE threadIdx.x\n#define await_earlier()\n",
        .kernels = kernels,
        .kernel_count = KERNELS};
}

static void units_are_compiled_side_by_side(void **state) {
    Bench *bench = *state;
    char root[] = "/tmp/sinter-units-XXXXXX";
    assert_non_null(mkdtemp(root));
    Cache *cache = cache_open(bench->arena, arena_format(bench->arena, "%s/sinter/code", root), 1 << 24, bench->diags);
    CudaCode code = code_of_many(bench, -1);
    CudaImages cold, warm;
    CubinReport report, again;
    assert_true(
        cubins_make(bench->nvrtc, cache, bench->arena, &code, "sm_90a", &cold, &report, bench->diags));
    assert_int_equal(report.recalled, 0);
    for (uint32_t k = 0; k < KERNELS; k++)
        assert_non_null(usage_of(&report.objects[cold.cubin_of[k]], code.kernels[k].name));
    assert_true(cubins_make(bench->nvrtc, cache, bench->arena, &code, "sm_90a", &warm, &again, bench->diags));
    assert_int_equal(again.recalled, again.units);
    for (uint32_t u = 0; u < cold.cubin_count; u++)
        assert_memory_equal(warm.cubins[u], cold.cubins[u], report.objects[u].cubin_bytes);
    assert_int_equal(system(arena_format(bench->arena, "rm -rf %s", root)), 0);
    assert_int_equal(diags_count(bench->diags), 0);
}

static void a_unit_that_fails_is_complained_of(void **state) {
    Bench *bench = *state;
    CudaCode code = code_of_many(bench, 13);
    CudaImages images;
    CubinReport report;
    assert_false(cubins_make(bench->nvrtc, NULL, bench->arena, &code, "sm_90a", &images, &report, bench->diags));
    assert_int_equal(diags_errors(bench->diags), 1);
    assert_non_null(strstr(complaints(bench), "\"nothing\" is undefined"));
    assert_non_null(strstr(complaints(bench), "kernels-"));
}

// ---- the log alone, without NVRTC

static void a_log_is_read(void **state) {
    Bench *bench = *state;
    CudaObject object = {.log =
                             "ptxas info    : 0 bytes gmem\n"
                             "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are\n"
                             "ptxas info    : Compiling entry function 'one' for 'sm_90a'\n"
                             "ptxas info    : Function properties for one\n"
                             "ptxas         .     16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads\n"
                             "ptxas info    : Function properties for helper\n"
                             "ptxas         .     0 bytes stack frame, 2 bytes spill stores, 0 bytes spill loads\n"
                             "ptxas info    : Used 168 registers, used 3 barriers, 1024 bytes smem, 400 bytes cmem[0]\n"
                             "ptxas info    : Compiling entry function 'two' for 'sm_90a'\n"
                             "ptxas info    : Used 8 registers\n"};
    nvrtc_read_usage(bench->arena, &object);
    assert_int_equal(object.kernel_count, 2);
    assert_int_equal(object.advisory_count, 1);
    const CudaUsage *one = &object.kernels[0];
    assert_string_equal(one->name, "one");
    assert_int_equal(one->registers, 168);
    assert_int_equal(one->barriers, 3);
    assert_int_equal(one->shared_bytes, 1024);
    assert_int_equal(one->stack_bytes, 16);
    assert_int_equal(one->spill_store_bytes, 10);
    assert_int_equal(one->spill_load_bytes, 4);
    assert_int_equal(object.kernels[1].registers, 8);
    assert_int_equal(object.kernels[1].shared_bytes, 0);
}

// ---- libraries of our own making

static const char *missing_symbol, *existing_path, *loader_words;
static bool can_open;

static void *fake_open(const char *path) {
    (void)path;
    static int library;
    return can_open ? &library : NULL;
}
static int fake_call(void) { return 5; }
static const char *fake_words(int result) {
    (void)result;
    return "NVRTC_ERROR_OF_A_TEST";
}
static void *fake_symbol(void *library, const char *name) {
    (void)library;
    if (missing_symbol && text_equal(name, missing_symbol)) return NULL;
    return text_equal(name, "nvrtcGetErrorString") ? (void *)fake_words : (void *)fake_call;
}
static const char *fake_error(void) { return loader_words; }
static bool fake_exists(const char *path) { return existing_path && text_equal(path, existing_path); }

static const char *why_not(Bench *bench) {
    LibraryTable saved = library_table;
    library_table = (LibraryTable){fake_open, fake_symbol, fake_error, fake_exists};
    const char *why = NULL;
    assert_null(nvrtc_open(bench->arena, &why));
    library_table = saved;
    return why;
}

static void every_reason_to_have_no_nvrtc_is_a_clause(void **state) {
    Bench *bench = *state;
    setenv("CUDA_HOME", "/somewhere", 1);
    can_open = false;
    loader_words = "cannot open shared object file";
    existing_path = missing_symbol = NULL;
    assert_string_equal(why_not(bench), "libnvrtc.so.13 was not found");
    existing_path = "/somewhere/lib64/libnvrtc.so.12";
    loader_words = "/somewhere/lib64/libnvrtc.so.12: file too short";
    assert_string_equal(why_not(bench), loader_words);
    can_open = true;
    missing_symbol = "nvrtcGetCUBIN";
    assert_string_equal(why_not(bench), "libnvrtc.so.13 is too old: it has no nvrtcGetCUBIN");
    missing_symbol = NULL;
    assert_string_equal(why_not(bench), "libnvrtc.so.13: NVRTC_ERROR_OF_A_TEST");
    unsetenv("CUDA_HOME");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest compiling[] = {
        TEST(source_becomes_a_cubin_with_its_usage),
        TEST(the_same_source_gives_the_same_bytes),
        TEST(multiplications_and_additions_stay_apart),
        TEST(spills_are_counted),
        TEST(tensor_core_instructions_are_found),
        TEST(virtual_architectures_give_ptx_alone),
        TEST(errors_stand_at_their_line),
        TEST(errors_of_the_assembler_are_shown),
        TEST(unknown_architectures_are_refused),
        TEST(the_service_kernels_compile),
        TEST(a_cubin_is_compiled_once),
        TEST(units_are_compiled_side_by_side),
        TEST(a_unit_that_fails_is_complained_of),
    };
    const struct CMUnitTest others[] = {
        TEST(a_log_is_read),
        TEST(every_reason_to_have_no_nvrtc_is_a_clause),
    };
    int failed = cmocka_run_group_tests(others, NULL, NULL);
    Arena *arena = arena_create();
    const char *why = NULL;
    bool has_nvrtc = nvrtc_open(arena, &why) != NULL;
    if (!has_nvrtc) note_skipped(__FILE__, "all tests that compile", why);
    arena_free(arena);
    if (failed) return failed;
    return has_nvrtc ? cmocka_run_group_tests(compiling, NULL, NULL) : SKIPPED;
}
