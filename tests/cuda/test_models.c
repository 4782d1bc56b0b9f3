// Whole training steps of gpt2 and llama: every kernel of the CUDA backend at every level of fusion, emulated, against
// the CPU backend (the same bits) and, at the end, against the float64 reference of the plan.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "ir/reference/reference.h"
#include "tests/cuda/model_plans.h"
#include "tests/cuda/side_by_side.h"
#include "tests/skipped.h"

// ---- the float64 reference of the plan

static const double *bind_leaf(void *context, const Leaf *leaf, DimList order) {
    const SideBySide *side = context;
    for (ValueId id = 0; id < side->plan->value_count; id++) {
        const Value *value = &side->plan->values[id];
        if (!value->leaf || value->is_copy || value->next_of != VALUE_NONE) continue;
        if (strcmp(value->leaf->name, leaf->name) != 0) continue;
        ProgramMemory memory = value->space == SPACE_STATE ? MEMORY_STATE : MEMORY_ARENA;
        const char *data = side->cpu[memory] + value->offset;
        size_t count = (size_t)layout_elements(&value->layout);
        double *values = ARENA_ARRAY(side->arena, double, count), *result = ARENA_ARRAY(side->arena, double, count);
        for (size_t i = 0; i < count; i++)
            values[i] =
                value->dtype == DTYPE_F32 ? (double)((const float *)data)[i] : (double)((const int32_t *)data)[i];
        reference_reorder(side->plan->dims, values, value->order, order, result);
        return result;
    }
    return NULL;
}

// Every output is within the relative rule of the checks: of its tensor's largest element.
static void compare_with_reference(const SideBySide *side, double *const *expected, double tolerance) {
    for (ValueId id = 0; id < side->plan->value_count; id++) {
        const Value *value = &side->plan->values[id];
        if (value->kind != VALUE_OUTPUT || value->dtype != DTYPE_F32) continue;
        ProgramMemory memory = value->space == SPACE_STATE ? MEMORY_STATE : MEMORY_ARENA;
        const float *found = (const float *)(side->gpu[memory] + value->offset);
        double largest = 0, worst = 0;
        int64_t elements = layout_elements(&value->layout);
        for (int64_t i = 0; i < elements; i++) {
            double sum = (double)found[i];
            for (uint32_t part = 1; part < value->parts; part++) sum += (double)found[part * elements + i];
            largest = fmax(largest, fabs(expected[id][i]));
            worst = fmax(worst, fabs(expected[id][i] - sum));
            if (isnan(sum)) fail_msg("%s has a NaN", value->name);
        }
        // An update divides by the root of a gradient's square: where that is nothing its sign is rounding.
        bool is_update = value->next_of != VALUE_NONE;
        if (worst > (is_update ? 150 : 1) * tolerance * largest + 1e-9)
            fail_msg("%s: off by %.2e of %.2e", value->name, worst, largest);
    }
}

static uint32_t count_of(const Plan *plan, DType dtype) {
    uint32_t count = 0;
    for (ValueId id = 0; id < plan->value_count; id++) count += plan->values[id].dtype == dtype;
    return count;
}

// What tf32 and f16 round off is 2^-12 of a factor, bf16 2^-9, in products or in memory.
static double rounding_of(const SideBySide *side) {
    if (count_of(side->plan, DTYPE_BF16)) return 4e-2;
    return side->rounds || count_of(side->plan, DTYPE_F16) ? 1e-2 : 2e-5;
}

// Tensor cores: none, all products that can go there without and with rounding of their factors.
typedef enum { TENSOR_ABSENT, TENSOR_EXACT, TENSOR_ROUNDS } TensorUse;

// Sweeps have tests of their own: no processor does them.
#define ALL_PRODUCTS "make product by tensor cores\nmake product by warpgroups\nforbid sweep\n"

static void run_chosen(ModelCase which, int runs, bool with_reference, TensorUse tensor, const char *choices) {
    Arena *arena = arena_create();
    Target target;
    int64_t vocabulary;
    assert_true(target_of_gpu("sm_90a", &target));
    Plan *plan = model_plan_chosen(arena, &which, choices, &target, &vocabulary);
    const char *why;
    SideBySide *side = side_create(arena, plan, &target, NULL, &why);
    if (!side) {
        arena_free(arena);
        SKIP_TEST(why);
    }
    side->rounds = tensor == TENSOR_ROUNDS;
    for (int run = 0; run < runs; run++) {
        side_fill(side, 7, run, vocabulary);
        double **expected = ARENA_ARRAY(arena, double *, plan->value_count);
        if (with_reference) assert_true(plan_reference(plan, arena, bind_leaf, side, expected));
        const char *wrong = side_run(side, 11 + (uint64_t)run);
        if (wrong) fail_msg("%s at level %s, run %d: %s", which.model, fuse_name(which.level), run, wrong);
        if (with_reference) compare_with_reference(side, expected, rounding_of(side));
    }
    print_message("%s at level %s: %u launches of %u kernels", which.model, fuse_name(which.level),
                  side->code->programs[0].launch_count, side->code->kernel_count);
    uint32_t in_parts = 0, by_warpgroups = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) by_warpgroups += plan->steps[s].tensor.wgmma;
    for (ValueId id = 0; id < plan->value_count; id++) in_parts += plan->values[id].parts > 1;
    if (side->tensor_steps)
        print_message(", %u products in tensor cores, %u of them by warpgroups, %u in parts, %u values in 16 bits",
                      side->tensor_steps / (unsigned)runs, by_warpgroups, in_parts,
                      count_of(plan, DTYPE_BF16) + count_of(plan, DTYPE_F16));
    print_message("\n");
    assert_true((side->tensor_steps > 0) == (tensor != TENSOR_ABSENT));
    side_free(side);
    arena_free(arena);
}

static void run_steps(ModelCase which, int runs, bool with_reference, TensorUse tensor) {
    run_chosen(which, runs, with_reference, tensor, tensor == TENSOR_ABSENT ? NULL : ALL_PRODUCTS);
}

static void run_case(ModelCase which, int runs, bool with_reference) {
    run_steps(which, runs, with_reference, TENSOR_ABSENT);
}

// ---- cases

#define SMALL                                                                                                          \
    {"n_layer", "2"}, {"n_head", "2"}, {"n_embd", "24"}, {"block_size", "13"}, {"batch_size", "2"},                    \
        {"vocab_size", "19"}, {                                                                                        \
        "gradient_accumulation_steps", "1"                                                                             \
    }

static void gpt2_none(void **state) {
    (void)state;
    run_case(
        (ModelCase){"gpt2", FUSE_NONE, MODEL_STEP, {SMALL, {"n_layer", "1"}, {"dropout", "0.2"}, {"bias", "True"}}}, 2,
        true);
}
static void gpt2_op(void **state) {
    (void)state;
    run_case((ModelCase){"gpt2", FUSE_OP, MODEL_STEP, {SMALL, {"dropout", "0.2"}, {"bias", "True"}}}, 2, true);
}
static void gpt2_all(void **state) {
    (void)state;
    run_case((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {SMALL, {"dropout", "0.2"}, {"bias", "True"}}}, 2, true);
}

#define LLAMA SMALL, {"n_kv_head", "1"}, {"n_ffn", "40"}

static void llama_none(void **state) {
    (void)state;
    run_case((ModelCase){"llama", FUSE_NONE, MODEL_STEP, {LLAMA, {"n_layer", "1"}}}, 2, true);
}
static void llama_op(void **state) {
    (void)state;
    run_case((ModelCase){"llama", FUSE_OP, MODEL_STEP, {LLAMA}}, 2, true);
}
static void llama_all(void **state) {
    (void)state;
    run_case((ModelCase){"llama", FUSE_ALL, MODEL_STEP, {LLAMA}}, 2, true);
}

// Extents that bands, whole tiles and whole vectors like; micro-batches; programs without a backward part.
#define EVEN                                                                                                           \
    {"n_layer", "1"}, {"n_head", "2"}, {"n_embd", "32"}, {"block_size", "64"}, {"batch_size", "2"}, {"vocab_size", "48"}

static void gpt2_with_bands(void **state) {
    (void)state;
    run_case((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {EVEN, {"gradient_accumulation_steps", "1"}}}, 1, true);
}
static void gpt2_in_micro_batches(void **state) {
    (void)state;
    run_case((ModelCase){"gpt2", FUSE_ALL, MODEL_MICRO, {EVEN, {"gradient_accumulation_steps", "3"}}}, 2, true);
    run_case((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {EVEN, {"gradient_accumulation_steps", "3"}}}, 2, true);
}
static void gpt2_eval_and_logits(void **state) {
    (void)state;
    run_case((ModelCase){"gpt2", FUSE_ALL, MODEL_EVAL, {EVEN}}, 1, true);
    run_case((ModelCase){"gpt2", FUSE_OP, MODEL_LOGITS, {EVEN}}, 1, true);
}

// The character model of the README at its real widths, with few tokens: three steps.
static void character_model(void **state) {
    (void)state;
    ModelCase character = {"gpt2",
                           FUSE_ALL,
                           MODEL_STEP,
                           {{"n_layer", "4"},
                            {"n_head", "4"},
                            {"n_embd", "128"},
                            {"block_size", "16"},
                            {"batch_size", "2"},
                            {"vocab_size", "65"},
                            {"gradient_accumulation_steps", "1"}}};
    run_case(character, 3, false);
}

// ---- tensor cores: every product that can go there, whatever the cost model finds of such small ones

#define TF32 {"tf32", "True"}
#define BF16 {"dtype", "bfloat16"}
#define F16 {"dtype", "float16"}

// Four sequences: sums over them are long enough for two parts.
#define TENSOR EVEN, {"batch_size", "4"}, {"gradient_accumulation_steps", "1"}

static void tf32_even(void **state) {
    (void)state;
    ModelCase even = {"gpt2", FUSE_ALL, MODEL_STEP, {TENSOR, TF32}};
    run_steps(even, 1, true, TENSOR_EXACT);
    run_steps(even, 1, true, TENSOR_ROUNDS);
}

// Rows that are read by depth from bf16, f32 beside it; what others read, too; nothing at all in bf16.
static void bf16_by_choice(void **state) {
    (void)state;
    ModelCase even = {"gpt2", FUSE_ALL, MODEL_STEP, {TENSOR, BF16}};
    run_chosen(even, 1, true, TENSOR_EXACT, ALL_PRODUCTS "precision layer[*].p bf16\nprecision layer[*].y bf16\n");
    run_chosen(even, 1, true, TENSOR_EXACT, ALL_PRODUCTS "precision grad.layer[*].p f32\nprecision layer[*].a f32\n");
    run_chosen(even, 1, true, TENSOR_EXACT, ALL_PRODUCTS "forbid choose_precision\n");
}

// Extents that nothing divides.
static void tf32_tails(void **state) {
    (void)state;
    ModelCase gpt2 = {"gpt2", FUSE_ALL, MODEL_STEP, {SMALL, TF32, {"dropout", "0.2"}, {"bias", "True"}}};
    run_steps(gpt2, 2, true, TENSOR_EXACT);
    run_steps((ModelCase){"llama", FUSE_ALL, MODEL_STEP, {LLAMA, TF32}}, 2, true, TENSOR_EXACT);
    run_steps((ModelCase){"gpt2", FUSE_OP, MODEL_STEP, {SMALL, TF32}}, 1, true, TENSOR_ROUNDS);
}

static void bf16_even(void **state) {
    (void)state;
    ModelCase even = {"gpt2", FUSE_ALL, MODEL_STEP, {TENSOR, BF16}};
    run_steps(even, 1, true, TENSOR_EXACT);
    run_steps(even, 1, true, TENSOR_ROUNDS);
}

static void bf16_tails(void **state) {
    (void)state;
    ModelCase gpt2 = {"gpt2", FUSE_ALL, MODEL_STEP, {SMALL, BF16, {"dropout", "0.2"}, {"bias", "True"}}};
    run_steps(gpt2, 2, true, TENSOR_EXACT);
    run_steps((ModelCase){"llama", FUSE_ALL, MODEL_STEP, {LLAMA, BF16}}, 2, true, TENSOR_EXACT);
    run_steps((ModelCase){"gpt2", FUSE_OP, MODEL_STEP, {SMALL, BF16}}, 1, true, TENSOR_ROUNDS);
}

static void f16_even(void **state) {
    (void)state;
    ModelCase even = {"gpt2", FUSE_ALL, MODEL_STEP, {TENSOR, F16}};
    run_steps(even, 2, true, TENSOR_EXACT);
    run_steps(even, 1, true, TENSOR_ROUNDS);
    run_chosen(even, 1, true, TENSOR_EXACT, ALL_PRODUCTS "precision layer[*].p f16\nprecision layer[*].y f16\n");
    run_chosen(even, 1, true, TENSOR_ROUNDS, ALL_PRODUCTS "forbid choose_precision\n");
}

static void f16_tails(void **state) {
    (void)state;
    ModelCase gpt2 = {"gpt2", FUSE_ALL, MODEL_STEP, {SMALL, F16, {"dropout", "0.2"}, {"bias", "True"}}};
    run_steps(gpt2, 2, true, TENSOR_EXACT);
    run_steps((ModelCase){"llama", FUSE_ALL, MODEL_STEP, {LLAMA, F16}}, 2, true, TENSOR_EXACT);
    run_steps((ModelCase){"gpt2", FUSE_OP, MODEL_STEP, {SMALL, F16}}, 1, true, TENSOR_ROUNDS);
    run_steps((ModelCase){"gpt2", FUSE_NONE, MODEL_STEP, {SMALL, F16, {"n_layer", "1"}}}, 1, true, TENSOR_ROUNDS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tf32_even),       cmocka_unit_test(tf32_tails),
        cmocka_unit_test(bf16_even),       cmocka_unit_test(bf16_tails),
        cmocka_unit_test(bf16_by_choice),
        cmocka_unit_test(f16_even),        cmocka_unit_test(f16_tails),
        cmocka_unit_test(gpt2_none),       cmocka_unit_test(gpt2_op),
        cmocka_unit_test(gpt2_all),        cmocka_unit_test(llama_none),
        cmocka_unit_test(llama_op),        cmocka_unit_test(llama_all),
        cmocka_unit_test(gpt2_with_bands), cmocka_unit_test(gpt2_in_micro_batches),
        cmocka_unit_test(gpt2_eval_and_logits), cmocka_unit_test(character_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
