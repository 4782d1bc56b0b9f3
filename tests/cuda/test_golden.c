// The text of kernels for small graphs, each form once, and how their rounds are dealt out.
//
// A golden text that is meant to change: run with SINTER_UPDATE=1 and read the difference.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "codegen/cuda/cuda_program.h"
#include "tests/cuda/tensor_plan.h"

static const Plan *plan_of(Arena *arena, const char *name, const Target *target, Diags *diags) {
    const char *path = arena_format(arena, SOURCE_DIR "/tests/codegen/golden/%s.graph", name);
    const char *source = file_read_all(arena, path, 1 << 20, NULL, diags);
    assert_non_null(source);
    Graph *graph = graph_parse(arena, name, source, diags);
    assert_non_null(graph);
    StateTable *states = ARENA_NEW(arena, StateTable);
    states->arena = arena;
    PassContext context = {.arena = arena, .diags = diags, .ledger = ledger_create(arena), .target = target,
                           .fuse = FUSE_OP, .states = states, .program = PROGRAM_PLAIN};
    Plan *plan = NULL;
    assert_true(passes_run(&graph, &plan, NULL, &context, NULL));
    return plan;
}

static void append_launches(Text *text, const CudaCode *code) {
    const CudaProgram *program = &code->programs[0];
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        const CudaKernel *kernel = &code->kernels[launch->kernel];
        text_append(text, "// launch %u, %s: %s, %u blocks of %u threads", i, launch->label, kernel->name,
                    launch->blocks, kernel->threads);
        for (uint32_t k = 0; k < launch->after_count; k++)
            text_append(text, "%s %u", k ? "," : " after", launch->after[k]);
        text_append(text, "\n");
    }
}

static void compare_with_golden(Arena *arena, const Plan *plan, const char *name, const Target *target,
                                Diags *diags) {
    CudaCode *code = codegen_cuda(&plan, &name, 1, target, NULL, diags);
    assert_non_null(code);
    Text text = text_create(arena);
    append_launches(&text, code);
    cuda_kernels_source(code, 0, code->kernel_count, &text);
    const char *path = arena_format(arena, SOURCE_DIR "/tests/cuda/golden/%s.cu", name);
    if (getenv("SINTER_UPDATE")) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(text_string(&text), file);
        fclose(file);
    }
    const char *golden = file_read_all(arena, path, 1 << 20, NULL, diags);
    assert_non_null(golden);
    assert_string_equal(text_string(&text), golden);
    cuda_code_free(code);
}

static void has_golden_text(void **state) {
    const char *name = *state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    compare_with_golden(arena, plan_of(arena, name, &target, diags), name, &target, diags);
    arena_free(arena);
}

// A product with a long epilogue, whose rounds are rolled; one whose sum is cut in parts, and who reads these.
static void tensor_cores_have_golden_text(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    const char *path = SOURCE_DIR "/tests/cuda/golden/tensor.graph";
    const char *source = file_read_all(arena, path, 1 << 20, NULL, diags);
    assert_non_null(source);
    Plan *plan = tensor_plan_of_text(arena, "tensor", source, TENSOR_TF32, &target, diags);
    assert_non_null(plan);
    assert_int_equal(plan->steps[0].tensor.kind, TENSOR_TF32);
    plan->steps[0].tensor = (TensorTile){TENSOR_TF32, 128, 64, 2, false, false};
    assert_int_equal(tensor_steps(plan), 2);
    assert_int_equal(values_in_parts(plan), 1);
    compare_with_golden(arena, plan, "tensor", &target, diags);
    arena_free(arena);
}

// A plan that a processor would run has what a GPU has not.
static void plans_for_processors_are_refused(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Target target = target_default();
    const Plan *plan = plan_of(arena, "product", &target, diags);
    const char *name = "step";
    assert_null(codegen_cuda(&plan, &name, 1, &target, NULL, diags));
    Text text = text_create(arena);
    diags_render(diags, &text);
    assert_non_null(strstr(text_string(&text), "openblas"));
    arena_free(arena);
}

// A launch that needs nothing of the one before does not wait for it.
static void launches_wait_for_what_they_need(void **state) {
    (void)state;
    static const char source[] = "graph \"diamond\"\n"
                                 "dim B=64\n"
                                 "%0 = input f32[B] \"x\" stored(B)\n"
                                 "%1 = exp f32[B] %0\n"
                                 "%2 = tanh f32[B] %0\n"
                                 "%3 = sum f32[] %1 over(B)\n"
                                 "%4 = add f32[B] %2 %3\n"
                                 "output \"a\" %1\n"
                                 "output \"b\" %2\n"
                                 "output \"y\" %4\n";
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Target target;
    assert_true(target_of_gpu("sm_80", &target));
    Graph *graph = graph_parse(arena, "diamond", source, diags);
    assert_non_null(graph);
    StateTable states = {.arena = arena};
    PassContext context = {.arena = arena, .diags = diags, .ledger = ledger_create(arena), .target = &target,
                           .fuse = FUSE_NONE, .states = &states, .program = PROGRAM_PLAIN};
    Plan *plan = NULL;
    assert_true(passes_run(&graph, &plan, NULL, &context, NULL));
    const char *name = "step";
    CudaCode *code = codegen_cuda((const Plan *const *)&plan, &name, 1, &target, NULL, diags);
    assert_non_null(code);
    const CudaProgram *program = &code->programs[0];
    assert_int_equal(program->launch_count, 4);
    uint32_t first = 0;
    for (uint32_t i = 0; i < 4; i++) first += program->launches[i].after_count == 0;
    assert_int_equal(first, 2);                                  // exp and tanh
    assert_int_equal(program->launches[3].after_count, 2);       // tanh, and the sum; not exp, which the sum waited for
    cuda_code_free(code);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        {"softmax", has_golden_text, NULL, NULL, (void *)(uintptr_t) "softmax"},
        {"product", has_golden_text, NULL, NULL, (void *)(uintptr_t) "product"},
        {"columns", has_golden_text, NULL, NULL, (void *)(uintptr_t) "columns"},
        {"indexed", has_golden_text, NULL, NULL, (void *)(uintptr_t) "indexed"},
        {"rotate", has_golden_text, NULL, NULL, (void *)(uintptr_t) "rotate"},
        cmocka_unit_test(tensor_cores_have_golden_text),
        cmocka_unit_test(plans_for_processors_are_refused),
        cmocka_unit_test(launches_wait_for_what_they_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
