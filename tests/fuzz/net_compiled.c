// The compiled program against the float64 reference (see net.h).
//
//     graph -> passes -> plan -> machine code -> session -> outputs
//           -> reference, and how far from it f32 may be -> limits
//
// Before a run the arena holds NaNs: what is read and was not written shows. The second run has other threads, which
// sleep now and then: what is read before it was written shows too.
#include <math.h>
#include <string.h>
#include <time.h>

#include "codegen/codegen.h"
#include "passes/passes.h"
#include "runtime/session.h"
#include "runtime/slot.h"
#include "tests/fuzz/budgeted.h"
#include "tests/fuzz/net.h"
#include "tests/fuzz/rounding.h"
#include "tests/fuzz/values.h"

// Of the naive evaluation's largest error, and of what roundings can add up to.
static const double naive_errors = 3, bounds = 4;
enum { THREADS = 3 };

typedef struct {
    Arena *arena;
    const Graph *graph; // what is meant
    uint64_t seed;
    FuseLevel level;
    const Rounding *rounding;
    const Plan *plan;
    Program *program;
    float **outputs; // of the run with one thread, by output of the graph, in stored order
    bool unknown;    // there are elements of which rounding leaves nothing
    Verdict verdict;
} Trial;

static void report(Trial *trial, VerdictKind kind, const char *message) {
    trial->verdict = (Verdict){kind, arena_format(trial->arena, "level %s: %s", fuse_name(trial->level), message)};
}

static const char *words_of(Trial *trial, const Diags *diags) {
    Text text = text_create(trial->arena);
    diags_render(diags, &text);
    return text_string(&text);
}

// ---- compiling

static uint32_t drawn(uint64_t seed, uint32_t what, uint32_t bound) { // splitmix64, as in generate.c
    uint64_t z = (seed + 0x9e3779b97f4a7c15u) * (what + 1);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 33) % bound;
}

// Machines of other widths, caches and numbers of cores than this one; half of them cut small steps too.
static Target drawn_target(uint64_t seed) {
    Target target = target_default();
    target.vector_bytes = 16 << drawn(seed, 0, 3);
    target.vector_registers = target.vector_bytes == 64 ? 32 : 16;
    target.cores = 1 + (int)drawn(seed, 1, 4);
    if (drawn(seed, 2, 2)) target.peak_flops = 0;
    static const double small[3] = {1024, 4096, 32768};
    target.l1_bytes = small[drawn(seed, 3, 3)]; // small ones, so that small graphs have strands
    target.l2_bytes = 4 * target.l1_bytes;
    target.l3_bytes = 16 * target.l1_bytes;
    if (drawn(seed, 7, 2)) target.l3_bytes = 256, target.peak_flops = 0; // rounds of a few rows, whatever they cost
    return target;
}

// Strands take what chains could have: in a third of the trials there are none.
static Choices *drawn_choices(Arena *arena, uint64_t seed, Diags *diags) {
    Choices *choices = choices_create(arena);
    if (drawn(seed, 4, 3) == 0) CHECK(choices_add(choices, "drawn", "forbid strand\n", diags));
    return choices;
}

static bool compile(Trial *trial) {
    Diags *diags = diags_create(trial->arena);
    Target target = drawn_target(trial->seed);
    StateTable states = {.arena = trial->arena};
    PassContext context = {.arena = trial->arena,
                           .diags = diags,
                           .ledger = ledger_create(trial->arena),
                           .target = &target,
                           .fuse = trial->level,
                           .choices = drawn_choices(trial->arena, trial->seed, diags),
                           .states = &states,
                           .program = PROGRAM_PLAIN};
    Graph *graph = (Graph *)(uintptr_t)trial->graph; // passes_run only reads it
    Plan *plan = NULL;
    CodegenReport report_ = {0};
    const char *name = "trial";
    bool is_budgeted = drawn(trial->seed, 5, 3) == 0;
    bool done = is_budgeted ? passes_run_budgeted(graph, &plan, NULL, &context, drawn(trial->seed, 6, 100))
                            : passes_run(&graph, &plan, NULL, &context, NULL);
    trial->plan = plan;
    done = done && codegen_cpu(&trial->plan, &name, 1, &target, &report_, &trial->program, diags);
    if (!done) report(trial, VERDICT_REFUSED, words_of(trial, diags));
    return done;
}

// ---- stumbling: the same program, with kernels that sleep before some of their pieces

typedef struct {
    const ProgramStep *step;
    uint64_t seed;
} Stumble;

static void stumble(void *const *buffers, int64_t piece, const void *context) {
    const Stumble *of = context;
    if (drawn(of->seed, (uint32_t)piece, 6) == 0) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    of->step->function(buffers, piece, of->step->context);
}

static Program stumbling(const Trial *trial) {
    Program program = *trial->program;
    ProgramStep *steps = ARENA_ARRAY(trial->arena, ProgramStep, program.step_count);
    for (uint32_t s = 0; s < program.step_count; s++) {
        Stumble *of = ARENA_NEW(trial->arena, Stumble);
        *of = (Stumble){&program.steps[s], trial->seed * 1000 + s};
        steps[s] = program.steps[s];
        steps[s].function = stumble;
        steps[s].context = of;
    }
    program.steps = steps;
    return program;
}

// ---- running

static void poison(const Session *session, const Program *program) {
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const ProgramSlot *slot = &program->slots[i];
        if (slot->buffer.memory != MEMORY_ARENA) continue;
        memset((char *)session_data(session, slot) - slot->buffer.offset, 0xff, program->arena_bytes);
        return;
    }
}

static void write_leaf(const Trial *trial, const Session *session, const ProgramSlot *slot) {
    NodeId node = graph_find_leaf_node(trial->graph, slot->copy_of ? slot->copy_of : slot->name);
    const double *values = leaf_values(trial->arena, trial->graph, node, trial->seed);
    int64_t count = slot_elements(slot);
    uint32_t *words = ARENA_ARRAY(trial->arena, uint32_t, (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        float real = (float)values[i];
        int32_t whole = (int32_t)(slot->element == ELEMENT_I32 ? values[i] : 0);
        memcpy(&words[i], slot->element == ELEMENT_I32 ? (void *)&whole : (void *)&real, sizeof words[i]);
    }
    slot_pack(slot, words, session_data(session, slot), trial->arena);
}

static const ProgramSlot *output_slot(const Program *program, const char *name) {
    const ProgramSlot *slot = program_slot(program, SLOT_OUTPUT, name);
    return slot ? slot : program_slot(program, SLOT_STATE, name); // a next value, written in place
}

static float *read_slot(const Trial *trial, const Session *session, const ProgramSlot *slot) {
    float *values = ARENA_ARRAY(trial->arena, float, (size_t)slot_elements(slot));
    slot_unpack(slot, session_data(session, slot), values, trial->arena);
    return values;
}

// A kept copy of a param holds what the param does, after an update too.
static void check_copies(Trial *trial, const Session *session, const Program *program) {
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const ProgramSlot *copy = &program->slots[i];
        const ProgramSlot *of = copy->copy_of ? program_slot(program, SLOT_STATE, copy->copy_of) : NULL;
        if (!of) continue;
        size_t bytes = (size_t)slot_elements(of) * sizeof(float);
        if (memcmp(read_slot(trial, session, of), read_slot(trial, session, copy), bytes) != 0)
            report(trial, VERDICT_WRONG, arena_format(trial->arena, "%s is not what its param is", copy->name));
    }
}

// Outputs of one run, by output of the graph.
static float **run(Trial *trial, const Program *program, int thread_count) {
    Diags *diags = diags_create(trial->arena);
    ThreadPool *threads = threads_create(thread_count, false, diags);
    Session *session = NULL;
    if (!threads || session_create(&program, 1, threads, &session, diags) != RUNTIME_OK)
        BUG("no session: %s", words_of(trial, diags));
    poison(session, program);
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (program->slots[i].kind != SLOT_OUTPUT) write_leaf(trial, session, &program->slots[i]);
    session_run(session, program);
    uint32_t count = graph_outputs(trial->graph);
    float **outputs = ARENA_ARRAY(trial->arena, float *, count);
    for (uint32_t i = 0; i < count; i++) {
        const ProgramSlot *slot = output_slot(program, graph_output_at(trial->graph, i)->name);
        if (!slot) BUG("output %s is gone", graph_output_at(trial->graph, i)->name);
        outputs[i] = read_slot(trial, session, slot);
    }
    check_copies(trial, session, program);
    session_free(session);
    threads_free(threads);
    return outputs;
}

// ---- comparing

static DimList plan_order(const Plan *plan, const char *output) {
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_OUTPUT && text_equal(plan->values[id].name, output))
            return plan->values[id].order;
    BUG("the plan has no output %s", output);
}

// In which order the slot of an output shows it: as the param or state that it belongs to is stored, or as the plan's.
static DimList stored_order(const Trial *trial, const char *output) {
    const char *owner = strncmp(output, "grad.", 5) == 0 ? output + 5 : output;
    for (LeafId id = 0; id < graph_leaves(trial->graph); id++)
        if (text_equal(graph_leaf_at(trial->graph, id)->name, owner)) return graph_leaf_at(trial->graph, id)->stored;
    return plan_order(trial->plan, output);
}

static double *reordered(const Trial *trial, const double *values, DimList from, DimList to) {
    double *result = ARENA_ARRAY(trial->arena, double, (size_t)graph_elements(trial->graph, dim_list_set(&from)));
    reference_reorder(trial->graph, values, from, to, result);
    return result;
}

static void compare_output(Trial *trial, uint32_t i) {
    const Rounding *rounding = trial->rounding;
    const Output *output = graph_output_at(trial->graph, i);
    const Node *node = graph_node(trial->graph, output->node);
    DimList order = stored_order(trial, output->name);
    const double *truth = reordered(trial, rounding->truth[output->node], node->order, order);
    const double *bound = reordered(trial, rounding->bound[output->node], node->order, order);
    double naive = rounding_naive_error(rounding, output->node);
    for (int64_t k = 0; k < graph_elements(trial->graph, node->dims); k++) {
        double found = trial->outputs[i][k], limit = naive_errors * naive + bounds * bound[k];
        bool known = isfinite(truth[k]) && isfinite(limit) && fabs(truth[k]) + limit < 1e37;
        trial->unknown |= !known;
        if (!known || fabs(found - truth[k]) <= limit) continue;
        report(trial, VERDICT_WRONG,
               arena_format(trial->arena, "output %s, element %lld: %.9g instead of %.9g; off by %.2e, allowed %.2e",
                            output->name, (long long)k, found, truth[k], fabs(found - truth[k]), limit));
        return;
    }
}

static void compare_threads(Trial *trial, float **again) {
    for (uint32_t i = 0; i < graph_outputs(trial->graph); i++) {
        const Output *output = graph_output_at(trial->graph, i);
        size_t count = (size_t)graph_elements(trial->graph, graph_node(trial->graph, output->node)->dims);
        if (memcmp(trial->outputs[i], again[i], count * sizeof(float)) == 0) continue;
        report(trial, VERDICT_WRONG,
               arena_format(trial->arena, "output %s has other bits with %d threads", output->name, THREADS));
        return;
    }
}

static Verdict check_level(Arena *arena, const Graph *graph, uint64_t seed, FuseLevel level, const Rounding *rounding) {
    Trial trial = {.arena = arena, .graph = graph, .seed = seed, .level = level, .rounding = rounding};
    if (!compile(&trial)) return trial.verdict;
    trial.outputs = run(&trial, trial.program, 1);
    for (uint32_t i = 0; i < graph_outputs(graph) && !rounding->doubtful && !trial.verdict.kind; i++)
        compare_output(&trial, i);
    if (!trial.verdict.kind) {
        Program program = stumbling(&trial);
        compare_threads(&trial, run(&trial, &program, THREADS));
    }
    program_free(trial.program);
    if (!trial.verdict.kind && (rounding->doubtful || trial.unknown)) trial.verdict.kind = VERDICT_UNSURE;
    return trial.verdict;
}

static Verdict check_levels(Arena *arena, const Graph *graph, uint64_t seed, FuseLevel first, FuseLevel last) {
    Rounding rounding = rounding_of(arena, graph, seed);
    Verdict verdict = {VERDICT_FINE, NULL};
    for (FuseLevel level = first; level <= last && verdict.kind <= VERDICT_UNSURE; level++)
        verdict = check_level(arena, graph, seed, level, &rounding);
    return verdict;
}

Verdict net_compiled_none(Arena *arena, const Graph *graph, uint64_t seed) {
    return check_levels(arena, graph, seed, FUSE_NONE, FUSE_NONE);
}

Verdict net_compiled_op(Arena *arena, const Graph *graph, uint64_t seed) {
    return check_levels(arena, graph, seed, FUSE_OP, FUSE_OP);
}

Verdict net_compiled_all(Arena *arena, const Graph *graph, uint64_t seed) {
    return check_levels(arena, graph, seed, FUSE_ALL, FUSE_ALL);
}

Verdict net_compiled(Arena *arena, const Graph *graph, uint64_t seed) {
    return check_levels(arena, graph, seed, FUSE_NONE, FUSE_ALL);
}

Verdict net_compiled_any(Arena *arena, const Graph *graph, uint64_t seed) {
    FuseLevel level = (FuseLevel)drawn(seed, 4, 3);
    return check_levels(arena, graph, seed, level, level);
}
