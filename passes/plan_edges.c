// plan_edges: same or all for every operand, and where threads must wait for each other.
//
// requires  cuts, strands
// ensures   every operand has its edge; a step waits when it needs all pieces of something written since the last
//           wait, or writes over a state that was read since then; in a strand the first step waits for all. What waits
//           already (plan_again) goes on to
//
//     step 0 cut(B)/4  out %1
//     step 1 cut(B)/4  in %1 same     reads %1[b,..] for its own b only: thread t has those pieces already
//     step 2 cut(C)/4  in %1 all      wait
//
// A sweep needs all of its operands: each of its blocks reads what other rows are made of.
//
// Threads take the same contiguous range of pieces in every step, so equal cuts mean equal threads.
#include "base/planted.h"
#include "passes/access.h"
#include "passes/pass_functions.h"
#include "passes/plan_measure.h"

typedef struct {
    Plan *plan;
    const StepNest *nest;    // by step
    const uint32_t *writer;  // by value
    uint32_t *last_reader;   // by value, so far
    uint32_t last_wait;      // all steps before this one have finished everywhere
} Edges;

static bool since_wait(const Edges *edges, uint32_t step) { return step != STEP_NONE && step >= edges->last_wait; }

// Sets the edges of step s; true when one of them needs a wait.
static bool set_edges(const Edges *edges, uint32_t s) {
    Step *step = &edges->plan->steps[s];
    Arena *arena = edges->plan->arena;
    const DimSet *own = cut_is_summed(edges->plan, step)
                            ? access_own_or_summed(step->region, step->operand_count, arena)
                            : access_own(step->region, step->operand_count, arena);
    bool wait = false;
    for (uint32_t k = 0; k < step->operand_count; k++) {
        uint32_t writer = edges->writer[step->operands[k]];
        if (writer == STEP_NONE) {
            step->edges[k] = EDGE_NONE;
            continue;
        }
        const Cut *cut = plan_shared_cut(edges->plan, edges->nest, writer, s);
        bool is_own = cut && step->form != FORM_SWEEP && !(dim_list_set(&cut->dims) & ~own[k]);
        bool same = is_own || (cut && PLANTED(edge_same_for_all));
        step->edges[k] = same ? EDGE_SAME : EDGE_ALL;
        if (!same && since_wait(edges, writer)) wait = !PLANTED(wait_forgotten);
    }
    return wait;
}

// A state is written over only when every other step that read it is done.
static bool overwrites_what_is_read(const Edges *edges, const Step *step) {
    for (uint32_t k = 0; k < step->output_count; k++) {
        ValueId state = edges->plan->values[step->outputs[k]].next_of;
        if (state != VALUE_NONE && since_wait(edges, edges->last_reader[state])) return true;
    }
    return false;
}

// Edges of a whole strand; only its first step can wait.
static void set_strand(Edges *edges, uint32_t first) {
    Plan *plan = edges->plan;
    uint32_t end = plan_strand_end(plan, first);
    bool wait = plan->steps[first].wait;
    for (uint32_t s = first; s < end; s++) {
        Step *step = &plan->steps[s];
        bool reads_all = set_edges(edges, s);
        wait |= reads_all || overwrites_what_is_read(edges, step);
        for (uint32_t k = 0; k < step->operand_count; k++) edges->last_reader[step->operands[k]] = s;
    }
    plan->steps[first].wait = wait;
    if (wait) edges->last_wait = first;
}

void edges_fill(Plan *plan) {
    Edges edges = {.plan = plan,
                   .nest = plan_nest(plan, plan->arena),
                   .writer = plan_writers(plan, plan->arena),
                   .last_reader = ARENA_ARRAY(plan->arena, uint32_t, plan->value_count)};
    for (ValueId id = 0; id < plan->value_count; id++) edges.last_reader[id] = STEP_NONE;
    for (uint32_t s = 0; s < plan->step_count; s = plan_strand_end(plan, s)) set_strand(&edges, s);
}

bool pass_plan_edges(Plan *plan, PassContext *context) {
    (void)context;
    edges_fill(plan);
    return true;
}
