// Chains of steps as one kernel: whole training steps whose scores and probabilities lie in shared memory, emulated,
// against the CPU backend's bits for the same Plan. Caches are made too small for anything, so that small models have
// chains; shared memory is made small, so that they have several ranges.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "tests/cuda/model_plans.h"
#include "tests/cuda/side_by_side.h"
#include "tests/skipped.h"

#define ALL_CHAINS "make plan_chains\n"
#define ATTENTION "make plan_chains at *.p\n"

static Target small_caches(double shared_bytes) {
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    target.l3_bytes = 64;
    if (shared_bytes > 0) target.l1_bytes = shared_bytes;
    return target;
}

static uint32_t chains_of(const Plan *plan) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s = plan_strand_end(plan, s)) count += plan_in_strand(plan, s);
    return count;
}

static uint32_t tensor_steps_of(const Plan *plan) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++)
        count += plan_in_strand(plan, s) && plan->steps[s].tensor.kind != TENSOR_NONE;
    return count;
}

static uint32_t sums_of(const Plan *plan) {
    uint32_t count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++)
        count += plan_in_strand(plan, s) && cut_is_summed(plan, &plan->steps[s]);
    return count;
}

// `chains`: as many there are at least. `shared_bytes` 0: those of a real GPU. `rounds`: tensor cores round factors.
// `cores`: where there is one, blocks have as many rows as they find room for.
static void run_as(ModelCase which, const char *choices, double shared_bytes, int cores, uint32_t chains, bool rounds) {
    Arena *arena = arena_create();
    Target target = small_caches(shared_bytes);
    if (cores > 0) target.cores = cores;
    int64_t vocabulary;
    const Plan *plan = model_plan_chosen(arena, &which, choices, &target, &vocabulary);
    const char *why;
    SideBySide *side = side_create(arena, plan, &target, NULL, &why);
    if (!side) {
        arena_free(arena);
        SKIP_TEST(why);
    }
    uint32_t found = chains_of(plan);
    side->rounds = rounds;
    print_message("%s: %u chains, %u sums over pieces, %u products in tensor cores, %zu bytes of shared memory\n",
                  which.model, found, sums_of(plan), tensor_steps_of(plan), plan->scratch_bytes);
    if (found < chains) fail_msg("%s has %u chains", which.model, found);
    for (int turn = 0; turn < 2; turn++) {
        side_fill(side, 7, turn, vocabulary);
        const char *wrong = side_run(side, 11 + (uint64_t)turn);
        if (wrong) fail_msg("%s, run %d: %s", which.model, turn, wrong);
    }
    side_free(side);
    arena_free(arena);
}

static void run(ModelCase which, const char *choices, double shared_bytes, uint32_t chains) {
    run_as(which, choices, shared_bytes, 0, chains, false);
}

#define ONE {"gradient_accumulation_steps", "1"}
#define EVEN                                                                                                           \
    {"n_layer", "2"}, {"n_head", "2"}, {"n_embd", "32"}, {"block_size", "48"}, {"batch_size", "2"},                    \
        {"vocab_size", "24"}, ONE
#define RAGGED                                                                                                         \
    {"n_layer", "2"}, {"n_head", "2"}, {"n_embd", "24"}, {"block_size", "13"}, {"batch_size", "2"},                    \
        {"vocab_size", "19"}, ONE

static void gpt2_attention(void **state) {
    (void)state;
    ModelCase gpt2 = {"gpt2", FUSE_ALL, MODEL_STEP, {EVEN}};
    run(gpt2, ATTENTION, 0, 4);
    run(gpt2, ATTENTION, 6000, 4);
}

static void gpt2_with_dropout(void **state) {
    (void)state;
    run((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {EVEN, {"dropout", "0.2"}, {"bias", "True"}}}, ATTENTION, 6000, 4);
}

static void all_that_can_be(void **state) {
    (void)state;
    run((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {EVEN}}, ALL_CHAINS, 20000, 4);
    run((ModelCase){"llama", FUSE_ALL, MODEL_STEP, {EVEN, {"n_kv_head", "1"}, {"n_ffn", "40"}}}, ALL_CHAINS, 20000, 4);
}

static void ragged_rows(void **state) {
    (void)state;
    run((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {RAGGED, {"dropout", "0.2"}}}, ATTENTION, 0, 4);
    run((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {RAGGED, {"block_size", "27"}}}, ATTENTION, 1600, 4);
}

static void grouped_queries(void **state) {
    (void)state;
    run((ModelCase){"llama", FUSE_ALL, MODEL_STEP, {EVEN, {"n_head", "4"}, {"n_kv_head", "2"}, {"n_ffn", "40"}}},
        ATTENTION, 6000, 4);
}

static void one_token(void **state) {
    (void)state;
    run((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {EVEN, {"block_size", "1"}}}, ATTENTION, 0, 0);
}

static void other_attentions(void **state) {
    (void)state;
    run((ModelCase){"examples/window_alibi.spec", FUSE_ALL, MODEL_STEP, {EVEN, {"window", "9"}}}, ATTENTION, 6000, 4);
    run((ModelCase){"examples/soft_capped.spec", FUSE_ALL, MODEL_STEP, {EVEN}}, ATTENTION, 6000, 4);
    run((ModelCase){"examples/qk_norm_sigmoid.spec", FUSE_ALL, MODEL_STEP, {EVEN}}, ATTENTION, 6000, 4);
}

static void programs_without_backward(void **state) {
    (void)state;
    run((ModelCase){"gpt2", FUSE_ALL, MODEL_EVAL, {EVEN}}, ATTENTION, 6000, 2);
    run((ModelCase){"gpt2", FUSE_ALL, MODEL_LOGITS, {EVEN}}, ATTENTION, 6000, 2);
    run((ModelCase){"gpt2", FUSE_ALL, MODEL_MICRO, {EVEN, {"gradient_accumulation_steps", "3"}}}, ATTENTION, 6000, 4);
}

// ---- products in tensor cores

// What would be swept is chained instead, and what is summed up over pieces f32 in memory.
#define IN_TENSOR_CORES                                                                                                \
    "make product by tensor cores\nforbid sweep\nforbid plan_chains\n"                                                 \
    "precision grad.layer[*].k~1 f32\nprecision grad.layer[*].v~1 f32\n" ATTENTION
#define TF32 {"tf32", "True"}
#define BF16 {"dtype", "bfloat16"}
#define F16 {"dtype", "float16"}
// Rows that whole tiles of 16 and 32 divide: what lies in shared memory is read from there.
#define WHOLE                                                                                                          \
    {"n_layer", "1"}, {"n_head", "2"}, {"n_embd", "32"}, {"block_size", "64"}, {"batch_size", "2"},                    \
        {"vocab_size", "24"}, ONE

static void run_tensor(ModelCase which, double shared_bytes, uint32_t chains, bool rounds) {
    run_as(which, IN_TENSOR_CORES, shared_bytes, 1, chains, rounds);
}

static void in_tensor_cores(void **state) {
    (void)state;
    ModelCase tf32 = {"gpt2", FUSE_ALL, MODEL_STEP, {WHOLE, TF32}};
    ModelCase bf16 = {"gpt2", FUSE_ALL, MODEL_STEP, {WHOLE, BF16}};
    run_tensor(tf32, 0, 2, false);
    run_tensor(tf32, 64000, 2, true);
    run_tensor(bf16, 72000, 2, false);
    run_tensor(bf16, 72000, 2, true);
    run_tensor((ModelCase){"gpt2", FUSE_ALL, MODEL_STEP, {WHOLE, F16}}, 64000, 2, true);
}

static void in_tensor_cores_with_tails(void **state) {
    (void)state;
    ModelCase gpt2 = {"gpt2", FUSE_ALL, MODEL_STEP, {RAGGED, TF32, {"block_size", "27"}, {"dropout", "0.2"}}};
    ModelCase llama = {
        "llama", FUSE_ALL, MODEL_STEP, {WHOLE, BF16, {"n_head", "4"}, {"n_kv_head", "2"}, {"n_ffn", "40"}}};
    run_tensor(gpt2, 64000, 4, false);
    run_tensor(llama, 64000, 2, false);
}

static void other_attentions_in_tensor_cores(void **state) {
    (void)state;
    run_tensor((ModelCase){"examples/window_alibi.spec", FUSE_ALL, MODEL_STEP, {WHOLE, BF16, {"window", "13"}}},
               64000, 2, false);
    run_tensor((ModelCase){"examples/soft_capped.spec", FUSE_ALL, MODEL_STEP, {WHOLE, F16}}, 64000, 2, false);
}

// ---- slips of the printer: each is seen

// The text with the `number`-th `from` behind the beginning of the last chain around a softmax that has one replaced.
static const char *replaced(Arena *arena, const char *source, int number, const char *from, const char *to) {
    const char *chain = NULL, *at = source;
    while ((at = strstr(at, "TENSOR_KERNEL(chain_softmax_")))
        if (strstr(at++, from)) chain = at;
    at = chain ? strstr(chain, from) : NULL;
    for (int i = 0; i < number && at; i++) at = strstr(at + 1, from);
    if (!at) fail_msg("there is no '%s' in the text", from);
    Text text = text_create(arena);
    text_append_bytes(&text, source, (size_t)(at - source));
    text_append(&text, "%s%s", to, at + strlen(from));
    return text_string(&text);
}

// Behind the softmax, whose rows have the same workers as the scores before it, and behind the next part.
static const char *without_second_barrier(Arena *arena, const char *source) {
    return replaced(arena, source, 1, "block_barrier();", "");
}
static const char *without_third_barrier(Arena *arena, const char *source) {
    return replaced(arena, source, 2, "block_barrier();", "");
}
static const char *without_barrier_between_pieces(Arena *arena, const char *source) {
    return replaced(arena, source, 0, "block_barrier();\n    }\n}", "}\n}");
}
static const char *barrier_of_one_worker(Arena *arena, const char *source) {
    return replaced(arena, source, 0, "block_barrier();", "if (BLOCK_WORKER == 0) block_barrier();");
}
static const char *one_piece_too_few(Arena *arena, const char *source) {
    return replaced(arena, source, 0, "; piece++)", "; piece += 2)");
}
static const char *pieces_of_the_next_group(Arena *arena, const char *source) {
    return replaced(arena, source, 0, "* block;", "* block + 1;");
}
static const char *every_worker_works(Arena *arena, const char *source) {
    return replaced(arena, source, 2, "work = BLOCK_WORKER", "work = 0");
}

static const char *ring_without_barrier(Arena *arena, const char *source) {
    return replaced(arena, source, 0, "block_barrier();", "");
}
static const char *ring_without_wait(Arena *arena, const char *source) {
    return replaced(arena, source, 0, "copies_wait(", "(void)(");
}
static const char *what_lies_outside_of_the_band(Arena *arena, const char *source) {
    return replaced(arena, source, 0, "keep_bf16(", "(void)(");
}
static const char *one_stage_too_few(Arena *arena, const char *source) {
    return replaced(arena, source, 0, "next == steps", "next + 1 >= steps");
}

static void must_be_seen_in(ModelCase gpt2, const char *choices, Target target, SourceEdit edit) {
    Arena *arena = arena_create();
    int64_t vocabulary;
    const char *why, *wrong = NULL;
    SideBySide *side =
        side_create(arena, model_plan_chosen(arena, &gpt2, choices, &target, &vocabulary), &target, edit, &why);
    if (!side) {
        arena_free(arena);
        SKIP_TEST(why);
    }
    for (int turn = 0; turn < 4 && !wrong; turn++) {
        side_fill(side, 7, turn, vocabulary);
        wrong = side_run(side, 11 + (uint64_t)turn);
    }
    print_message("    %.160s\n", wrong ? wrong : "NOT SEEN");
    assert_true((wrong != NULL) == (edit != NULL));
    side_free(side);
    arena_free(arena);
}

static void must_be_seen(SourceEdit edit) {
    ModelCase gpt2 = {"gpt2", FUSE_ALL, MODEL_STEP, {EVEN, {"n_layer", "1"}}};
    must_be_seen_in(gpt2, ATTENTION, small_caches(4000), edit);
}

static void must_be_seen_in_ring(SourceEdit edit) {
    ModelCase gpt2 = {"gpt2", FUSE_ALL, MODEL_STEP, {WHOLE, BF16, {"batch_size", "1"}}};
    Target target = small_caches(72000);
    target.cores = 1;
    must_be_seen_in(gpt2, IN_TENSOR_CORES, target, edit);
}

static void slips_are_seen(void **state) {
    (void)state;
    must_be_seen(NULL);
    must_be_seen(without_second_barrier);
    must_be_seen(without_third_barrier);
    must_be_seen(without_barrier_between_pieces);
    must_be_seen(barrier_of_one_worker);
    must_be_seen(one_piece_too_few);
    must_be_seen(pieces_of_the_next_group);
    must_be_seen(every_worker_works);
}

static void slips_of_the_ring_are_seen(void **state) {
    (void)state;
    must_be_seen_in_ring(NULL);
    must_be_seen_in_ring(ring_without_barrier);
    must_be_seen_in_ring(ring_without_wait);
    must_be_seen_in_ring(what_lies_outside_of_the_band);
    must_be_seen_in_ring(one_stage_too_few);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_attention),   cmocka_unit_test(gpt2_with_dropout),
        cmocka_unit_test(all_that_can_be),  cmocka_unit_test(ragged_rows),
        cmocka_unit_test(grouped_queries),  cmocka_unit_test(one_token),
        cmocka_unit_test(other_attentions), cmocka_unit_test(programs_without_backward),
        cmocka_unit_test(in_tensor_cores),  cmocka_unit_test(in_tensor_cores_with_tails),
        cmocka_unit_test(other_attentions_in_tensor_cores),
        cmocka_unit_test(slips_are_seen),   cmocka_unit_test(slips_of_the_ring_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
