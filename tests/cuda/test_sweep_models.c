// Whole models with sweeps in their attention, as the pipeline makes them: the plan means what the one without sweeps
// does, and its launches, emulated, leave losses, gradients and next states within what 16 bits round off.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "codegen/cuda/merge.h"
#include "codegen/cuda/persist.h"
#include "tests/cuda/emulated_plan.h"
#include "tests/cuda/model_plans.h"
#include "tests/skipped.h"

// ---- numbers for leaves: weights as initialised, moments small, tokens below the vocabulary

typedef struct {
    int64_t vocabulary;
    double step;
} Leaves;

static uint64_t mixed(uint64_t z) { // splitmix64
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double integer_of(const Leaves *leaves, const Value *value, uint64_t bits) {
    if (value->order.rank > 0) return (double)(bits % (uint64_t)leaves->vocabulary);
    if (strcmp(value->leaf->name, "seed") == 0) return 1337;
    return strcmp(value->leaf->name, "step") == 0 ? leaves->step : 0;
}

static double fill(void *context, const Value *value, int64_t element) {
    uint64_t key = 7;
    for (const char *at = value->leaf->name; *at; at++) key = key * 131 + (uint64_t)*at;
    uint64_t bits = mixed(mixed(key) + (uint64_t)element);
    if (value->dtype == DTYPE_I32) return integer_of(context, value, bits >> 20);
    if (value->kind == VALUE_INPUT) return 1e-3;
    double normal = 0;
    for (int i = 0; i < 4; i++) normal += 1.7320508 * ((double)(bits >> (16 * i) & 0xffff) / 65536 - 0.5);
    if (!value->is_param) return (float)value->leaf->init_value;
    return (float)(value->leaf->init == INIT_NORMAL ? 3 * value->leaf->init_value * normal : 1 + 0.1 * normal);
}

// ---- comparing

// What bf16 and f16 round off, in products and in memory, gathers over a model's layers. How much of it the worst
// output is.
static double compare_outputs(const EmulatedPlan *run, double tolerance) {
    double most = 0;
    for (ValueId id = 0; id < run->plan->value_count; id++) {
        const Value *value = &run->plan->values[id];
        if (value->kind != VALUE_OUTPUT || value->dtype != DTYPE_F32) continue;
        Distance far = emulated_plan_distance(run, id);
        // An update divides by the root of a gradient's square: where that is nothing its sign is rounding.
        double allowed = (value->next_of != VALUE_NONE ? 150 : 1) * tolerance * far.largest + 1e-9;
        if (far.worst > allowed) fail_msg("%s: off by %.2e of %.2e", value->name, far.worst, far.largest);
        most = fmax(most, far.worst / allowed);
    }
    return most;
}

static ValueId output_named(const Plan *plan, const char *name, bool is_next) {
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_OUTPUT && (plan->values[id].next_of != VALUE_NONE) == is_next &&
            strcmp(plan->values[id].name, name) == 0)
            return id;
    fail_msg("there is no %s without sweeps", name);
    return VALUE_NONE;
}

// In float64, where it is a question of the order of sums alone.
static void compare_meanings(const EmulatedPlan *swept, const EmulatedPlan *plain) {
    const Graph *dims = swept->plan->dims;
    uint32_t compared = 0;
    for (ValueId id = 0; id < swept->plan->value_count; id++) {
        const Value *value = &swept->plan->values[id];
        if (value->kind != VALUE_OUTPUT) continue;
        ValueId other = output_named(plain->plan, value->name, value->next_of != VALUE_NONE);
        assert_true(dim_list_equal(&value->order, &plain->plan->values[other].order));
        const double *a = swept->expected[id], *b = plain->expected[other];
        double worst = 0, largest = 0;
        for (int64_t i = 0; i < graph_elements(dims, dim_list_set(&value->order)); i++) {
            worst = fmax(worst, fabs(a[i] - b[i]));
            largest = fmax(largest, fabs(a[i]));
        }
        if (!(worst <= 1e-7 * largest + 1e-12)) fail_msg("%s: %.2e of %.2e apart", value->name, worst, largest);
        compared++;
    }
    assert_true(compared > 0);
}

// ---- cases

static uint32_t count_sweeps(const Plan *plan) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) count += plan->steps[s].form == FORM_SWEEP;
    return count;
}

static EmulatedPlan *begin(Arena *arena, const ModelCase *which, const char *choices, const Target *target) {
    Leaves leaves = {.step = 1};
    const Plan *plan = model_plan_chosen(arena, which, choices, target, &leaves.vocabulary);
    EmulatedPlan *run = emulated_plan_create(arena, plan);
    emulated_plan_fill(run, fill, &leaves);
    return run;
}

static void run_case(ModelCase which, LaunchChange change, uint32_t sweeps, double tolerance) {
    Arena *arena = arena_create();
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    EmulatedPlan *swept = begin(arena, &which, "make plan_sweeps\n", &target);
    EmulatedPlan *plain = begin(arena, &which, "forbid plan_sweeps\n", &target);
    assert_int_equal(count_sweeps(swept->plan), sweeps);
    assert_int_equal(count_sweeps(plain->plan), 0);
    compare_meanings(swept, plain);
    const char *why = emulated_plan_compile(swept, &target, change, NULL);
    if (why) SKIP_TEST(why);
    double most[2];
    for (int rounds = 0; rounds < 2; rounds++) {
        swept->rounds = rounds;
        const char *wrong = emulated_plan_run(swept, 3 + (uint64_t)rounds);
        if (wrong) fail_msg("%s", wrong);
        most[rounds] = compare_outputs(swept, tolerance);
    }
    uint32_t launches = swept->code->programs[0].launch_count;
    print_message("    %s: %u steps, %u of them sweeps, in %u launches; %.2f and %.2f of what is allowed\n",
                  which.model, swept->plan->step_count, sweeps, launches, most[0], most[1]);
    emulated_plan_free(swept);
    emulated_plan_free(plain);
    arena_free(arena);
}

static void persist(CudaCode *code, const Target *target) {
    ((CudaProgram *)code->programs)->is_persistent = true;
    cuda_persist(code, target);
}

#define SMALL                                                                                                          \
    {"n_layer", "2"}, {"n_head", "2"}, {"n_embd", "64"}, {"block_size", "64"}, {"batch_size", "2"},                    \
        {"vocab_size", "37"}, {"gradient_accumulation_steps", "1"}

#define IN_BF16 SMALL, {"dtype", "bfloat16"}
#define IN_F16 SMALL, {"dtype", "float16"}

// Two sweeps forward and four backward.
static void gpt2_in_bf16(void **state) {
    (void)state;
    run_case((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {IN_BF16, {"block_size", "128"}}}, NULL, 6, 2e-2);
}
// Rows of logits that begin at no multiples of 16 bytes, but for the room between them.
static void gpt2_with_odd_logits(void **state) {
    (void)state;
    ModelCase which = {"gpt2", FUSE_ALL, MODEL_STEP, {IN_BF16, {"vocab_size", "1001"}, {"n_layer", "1"}}};
    run_case(which, NULL, 3, 2e-2);
}
static void gpt2_with_dropout_merged(void **state) {
    (void)state;
    ModelCase which = {"gpt2", FUSE_ALL, MODEL_STEP, {IN_BF16, {"dropout", "0.2"}, {"bias", "True"}}};
    run_case(which, cuda_merge_launches, 6, 2e-2);
}
static void gpt2_in_f16_persistent(void **state) {
    (void)state;
    run_case((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {IN_F16, {"n_layer", "1"}}}, persist, 3, 3e-3);
}
// Queries that share keys, whose gradients are sums over heads of queries, too.
static void llama_in_bf16(void **state) {
    (void)state;
    ModelCase which = {"llama", FUSE_ALL, MODEL_STEP, {IN_BF16, {"n_kv_head", "1"}, {"n_ffn", "96"}}};
    run_case(which, NULL, 6, 2e-2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_in_bf16),
        cmocka_unit_test(gpt2_with_odd_logits),
        cmocka_unit_test(gpt2_with_dropout_merged),
        cmocka_unit_test(gpt2_in_f16_persistent),
        cmocka_unit_test(llama_in_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
