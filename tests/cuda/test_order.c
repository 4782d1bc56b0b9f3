// The launch table's edges: launches in any order that these allow give the CPU's bits, and each edge is needed: where
// one is left out, there is an order in which a launch reads what is not there yet, or writes over what others still
// want to read. One of the edges is that of a reader of a sum in parts, which adds up the parts of all groups.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "tests/cuda/side_by_side.h"
#include "tests/cuda/tensor_plan.h"
#include "tests/skipped.h"

enum { ORDERS = 12 };

// Two products of one input, one of them in parts; a chain that writes over memory that others are done with.
static const char *const graph_text = "graph \"order\"\n"
                                      "dim B=1024 M=24 N=40 K=16\n"
                                      "%0 = input f32[B,M] \"a\" stored(B,M)\n"
                                      "%1 = input f32[B,N] \"b\" stored(B,N)\n"
                                      "%2 = input f32[N,K] \"c\" stored(N,K)\n"
                                      "%3 = contract f32[M,N] %0 %1 over(B)\n"
                                      "%4 = lse f32[M] %3 over(N)\n"
                                      "%5 = sub f32[M,N] %3 %4\n"
                                      "%6 = contract f32[M,K] %5 %2 over(N)\n"
                                      "%7 = lse f32[K] %6 over(M)\n"
                                      "%8 = sub f32[M,K] %6 %7\n"
                                      "%9 = contract f32[B,K] %1 %2 over(N)\n"
                                      "%10 = lse f32[B] %9 over(K)\n"
                                      "output \"y\" %8\n"
                                      "output \"z\" %10\n";

typedef struct {
    Arena *arena;
    Plan *plan;
    SideBySide *side;
    const CudaProgram *program;
    uint32_t *order;
} Bench;

static Bench bench_create(void) {
    Bench bench = {.arena = arena_create()};
    Diags *diags = diags_create(bench.arena);
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    bench.plan = tensor_plan_of_text(bench.arena, "order", graph_text, TENSOR_TF32, &target, diags);
    assert_non_null(bench.plan);
    assert_int_equal(values_in_parts(bench.plan), 1);
    const char *why;
    bench.side = side_create(bench.arena, bench.plan, &target, NULL, &why);
    if (!bench.side) SKIP_TEST(why);
    bench.program = &bench.side->code->programs[0];
    bench.order = ARENA_ARRAY(bench.arena, uint32_t, bench.program->launch_count);
    return bench;
}

static void bench_free(Bench *bench) {
    side_free(bench->side);
    arena_free(bench->arena);
}

// Both blocks are full of NaNs again.
static const char *run(const Bench *bench, uint64_t seed) {
    SideBySide *side = bench->side;
    memset(side->gpu[MEMORY_ARENA], 0xff, side->program->arena_bytes);
    for (uint32_t i = 0; i < side->program->slot_count; i++) {
        const ProgramSlot *slot = &side->program->slots[i];
        float *values = side_data(side, slot);
        for (size_t k = 0; slot->kind == SLOT_INPUT && k < slot->bytes / sizeof *values; k++)
            values[k] = (float)((int)((k * 7919 + seed * 31 + i * 17) % 1009) - 504) / 4009.0f;
    }
    return side_run_in_order(side, bench->order, seed);
}

// ---- orders

static bool waits_for(const CudaLaunch *launch, uint32_t other) {
    for (uint32_t k = 0; k < launch->after_count; k++)
        if (launch->after[k] == other) return true;
    return false;
}

static void draw_order(const Bench *bench, uint64_t *random) {
    uint32_t count = bench->program->launch_count;
    bool *done = ARENA_ARRAY(bench->arena, bool, count);
    uint32_t *ready = ARENA_ARRAY(bench->arena, uint32_t, count);
    for (uint32_t at = 0; at < count; at++) {
        uint32_t found = 0;
        for (uint32_t i = 0; i < count; i++) {
            bool waits = done[i];
            for (uint32_t k = 0; k < bench->program->launches[i].after_count; k++)
                waits |= !done[bench->program->launches[i].after[k]];
            if (!waits) ready[found++] = i;
        }
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        bench->order[at] = ready[(*random >> 33) % found];
        done[bench->order[at]] = true;
    }
}

// Of what `launch` waits for, but for the edge to `forgotten`.
static void need(const Bench *bench, uint32_t launch, uint32_t forgotten, bool *needed) {
    const CudaLaunch *table = &bench->program->launches[launch];
    for (uint32_t k = 0; k < table->after_count; k++) {
        uint32_t before = table->after[k];
        if (before == forgotten || needed[before]) continue;
        needed[before] = true;
        need(bench, before, UINT32_MAX, needed);
    }
}

// Everything that `reader` waits for without the edge, the reader, and all others in the table's order.
static void order_without(const Bench *bench, uint32_t reader, uint32_t forgotten) {
    uint32_t count = bench->program->launch_count, at = 0;
    bool *needed = ARENA_ARRAY(bench->arena, bool, count);
    need(bench, reader, forgotten, needed);
    assert_false(needed[forgotten]); // nobody waits twice
    for (uint32_t i = 0; i < count; i++)
        if (needed[i]) bench->order[at++] = i;
    bench->order[at++] = reader;
    for (uint32_t i = 0; i < count; i++)
        if (!needed[i] && i != reader) bench->order[at++] = i;
    assert_int_equal(at, count);
}

// ---- tests

static void any_order_that_the_edges_allow(void **state) {
    (void)state;
    Bench bench = bench_create();
    uint64_t random = 1;
    for (uint64_t seed = 1; seed <= ORDERS; seed++) {
        draw_order(&bench, &random);
        const char *wrong = run(&bench, seed);
        if (wrong) fail_msg("order %d: %s", (int)seed, wrong);
    }
    bench_free(&bench);
}

static void each_edge_is_needed(void **state) {
    (void)state;
    Bench bench = bench_create();
    uint32_t edges = 0;
    for (uint32_t i = 0; i < bench.program->launch_count; i++)
        for (uint32_t k = 0; k < bench.program->launches[i].after_count; k++, edges++) {
            uint32_t before = bench.program->launches[i].after[k];
            order_without(&bench, i, before);
            if (!run(&bench, 3))
                fail_msg("nobody sees that launch %u (%s) does not wait for %u (%s)", i,
                         bench.program->launches[i].label, before, bench.program->launches[before].label);
        }
    print_message("    %u edges between %u launches\n", edges, bench.program->launch_count);
    bench_free(&bench);
}

// The race: parts are added up while the groups still make them.
static void readers_wait_for_all_parts(void **state) {
    (void)state;
    Bench bench = bench_create();
    const Plan *plan = bench.plan;
    uint32_t readers = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        ValueId id = plan->steps[s].outputs[0];
        if (plan->values[id].parts <= 1) continue;
        assert_true(plan->steps[s].cut.groups > 1);
        for (uint32_t i = s + 1; i < plan->step_count; i++) {
            if (!waits_for(&bench.program->launches[i], s)) continue;
            order_without(&bench, i, s);
            const char *wrong = run(&bench, 5);
            print_message("    %s\n", wrong ? wrong : "NOT CAUGHT");
            assert_non_null(wrong);
            readers++;
        }
    }
    assert_true(readers > 0);
    bench_free(&bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_that_the_edges_allow),
        cmocka_unit_test(each_edge_is_needed),
        cmocka_unit_test(readers_wait_for_all_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
