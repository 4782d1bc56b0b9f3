// Plans -> Programs, whole: every case graph at every level of fusion, through all passes and codegen_cpu.
//
// After each step two things are checked: its outputs against the float64 reference of the plan, and, for generated
// kernels, all memory against the tile interpreter: bit for bit where a kernel calls no function of mathematics. The
// second also shows that a kernel writes nothing but its outputs.
#include "base/hash.h"
#include "tests/cpu/compile.h"

#include <math.h>

#include "base/file.h"
#include "ir/reference/reference.h"
#include "passes/passes.h"
#include "runtime/slot.h"
#include "tests/codegen/interpret_tile.h"

typedef struct {
    Arena *arena;
    const Plan *plan;
    const Program *program;
    const Target *target;
    unsigned char *memory[2], *copy[2]; // by ProgramMemory: of the program, and of the interpreter
    unsigned char **whole, **whole_copy; // by value: the same of what lies in scratch memory
    double **expected;                  // by value, in its order
} Run;

// ---- numbers

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static DType leaf_dtype(const Plan *plan, const Leaf *leaf) {
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].leaf && text_equal(plan->values[id].leaf->name, leaf->name)) return plan->values[id].dtype;
    fail_msg("no value for leaf %s", leaf->name);
    return DTYPE_F32;
}

// Floats in [-1, 1), smaller ones for weights and positive ones for what the optimizer divides by; integers 0, 1, 2.
static double number_of(const Leaf *leaf, DType dtype, size_t i) {
    uint64_t bits = mix(hash_text(leaf->name) + i * 0x9e3779b97f4a7c15u) >> 40;
    if (dtype == DTYPE_I32) return (double)(bits % 3);
    if (dtype == DTYPE_BOOL) return (double)(bits % 2);
    double number = (double)bits * 0x1p-23 - 1;
    if (strncmp(leaf->name, "adam", 4) == 0) return fabs(number) * 0x1p-4;
    return leaf->init == INIT_NORMAL ? number * 0.25 : number;
}

static const double *bind_leaf(void *context, const Leaf *leaf, DimList order) {
    Run *run = context;
    size_t count = (size_t)graph_elements(run->plan->dims, dim_list_set(&order));
    double *stored = ARENA_ARRAY(run->arena, double, count), *result = ARENA_ARRAY(run->arena, double, count);
    for (size_t i = 0; i < count; i++)
        stored[i] = (float)number_of(leaf, leaf_dtype(run->plan, leaf), i);
    reference_reorder(run->plan->dims, stored, leaf->stored, order, result);
    return result;
}

// ---- memory

static void count_up(const Graph *dims, DimList order, int64_t *index) {
    for (int i = order.rank - 1; i >= 0; i--) {
        if (++index[order.dims[i]] < graph_extent(dims, order.dims[i])) return;
        index[order.dims[i]] = 0;
    }
}

static double read_element(DType dtype, const unsigned char *memory, int64_t at) {
    if (dtype == DTYPE_I32) return ((const int32_t *)memory)[at];
    return dtype == DTYPE_BOOL ? memory[at] : ((const float *)memory)[at];
}

static void write_element(DType dtype, unsigned char *memory, int64_t at, double number) {
    if (dtype == DTYPE_I32)
        ((int32_t *)memory)[at] = (int32_t)number;
    else if (dtype == DTYPE_BOOL)
        memory[at] = number != 0;
    else
        ((float *)memory)[at] = (float)number;
}

static void fill_leaves(Run *run) {
    const Graph *dims = run->plan->dims;
    for (ValueId id = 0; id < run->plan->value_count; id++) {
        const Value *value = &run->plan->values[id];
        if (!value->leaf) continue;
        int64_t index[MAX_DIMS] = {0};
        size_t count = (size_t)graph_elements(dims, dim_list_set(&value->order));
        unsigned char *memory = run->memory[value->space == SPACE_STATE ? MEMORY_STATE : MEMORY_ARENA] + value->offset;
        for (size_t i = 0; i < count; i++, count_up(dims, value->order, index))
            write_element(value->dtype, memory, layout_offset(dims, &value->layout, index), run->expected[id][i]);
    }
}

// Steps run one after the other here, so a value in scratch memory has memory for all of its pieces.
static unsigned char *memory_of(const Run *run, ValueId id) {
    const Value *value = &run->plan->values[id];
    if (value->space == SPACE_SCRATCH) return run->whole[id];
    return run->memory[value->space == SPACE_STATE ? MEMORY_STATE : MEMORY_ARENA] + value->offset;
}

static ValueId buffer_value(const Step *step, uint32_t buffer) {
    return buffer < step->operand_count ? step->operands[buffer] : step->outputs[buffer - step->operand_count];
}

// Memory of a buffer, of the program or of the interpreter.
static unsigned char *buffer_of(const Run *run, uint32_t number, uint32_t buffer, bool copy) {
    ProgramBuffer place = run->program->steps[number].buffers[buffer];
    if (place.memory == MEMORY_SCRATCH)
        return (copy ? run->whole_copy : run->whole)[buffer_value(&run->plan->steps[number], buffer)];
    return (copy ? run->copy : run->memory)[place.memory] + place.offset;
}

static size_t whole_bytes(const Run *run, ValueId id) {
    const Value *value = &run->plan->values[id];
    return (size_t)layout_elements(&value->layout) * dtype_bytes(value->dtype);
}

static void make_whole(Run *run) {
    run->whole = ARENA_ARRAY(run->arena, unsigned char *, run->plan->value_count + 1);
    run->whole_copy = ARENA_ARRAY(run->arena, unsigned char *, run->plan->value_count + 1);
    for (ValueId id = 0; id < run->plan->value_count; id++) {
        if (run->plan->values[id].space != SPACE_SCRATCH) continue;
        run->whole[id] = arena_alloc(run->arena, whole_bytes(run, id));
        run->whole_copy[id] = arena_alloc(run->arena, whole_bytes(run, id));
        memset(run->whole[id], 0xff, whole_bytes(run, id));
    }
}

// ---- checks

static void show(const Run *run, uint32_t step) {
    Text text = text_create(run->arena);
    graph_print(run->plan->steps[step].region, &text);
    if (run->plan->steps[step].engine == ENGINE_TILES)
        tile_print(tile_lower(run->arena, run->plan, &run->plan->steps[step], run->target), &text);
    print_message("%s\n", text_string(&text));
}

static bool is_outside(const Band *band, const int64_t *index) {
    int64_t distance = index[band->column] - index[band->row];
    return band->is_set && (distance < band->low || distance > band->high);
}

static void check_output(const Run *run, uint32_t step, ValueId id) {
    const Value *value = &run->plan->values[id];
    const Graph *dims = run->plan->dims;
    const unsigned char *memory = memory_of(run, id);
    int64_t index[MAX_DIMS] = {0};
    size_t count = (size_t)graph_elements(dims, dim_list_set(&value->order));
    for (size_t i = 0; i < count; i++, count_up(dims, value->order, index)) {
        int64_t offset = layout_offset(dims, &value->layout, index);
        if (is_outside(&value->band, index)) continue;   // need not be written
        double found = read_element(value->dtype, memory, offset);
        for (uint32_t part = 1; part < value->parts; part++)
            found += read_element(value->dtype, memory, offset + part * layout_elements(&value->layout));
        double wanted = run->expected[id][i];
        if (isnan(wanted) ? isnan(found) : found == wanted || fabs(found - wanted) <= 2e-4 * (1 + fabs(wanted)))
            continue;
        show(run, step);
        fail_msg("step %u (%s), value %u element %zu: %.9g instead of %.9g", step, run->plan->steps[step].label, id, i,
                 found, wanted);
    }
}

static bool is_exact(const TileProgram *program) {
    for (uint32_t i = 0; i < program->op_count; i++) {
        if (program->ops[i].kind != TILE_MAP) continue;
        switch (program->ops[i].function) {
        case OP_EXP:
        case OP_LOG:
        case OP_TANH:
        case OP_ERF:
        case OP_SIN:
        case OP_COS:
        case OP_RSQRT: return false;
        default: break;
        }
    }
    return true;
}

static void run_interpreter(Run *run, uint32_t number, const TileProgram *program) {
    const ProgramStep *step = &run->program->steps[number];
    void **buffers = ARENA_ARRAY(run->arena, void *, step->buffer_count);
    for (uint32_t i = 0; i < step->buffer_count; i++)
        buffers[i] = buffer_of(run, number, i, true);
    for (uint32_t piece = 0; piece < step->pieces; piece++) {
        const char *wrong = interpret_tile(program, buffers, piece, run->arena);
        if (wrong) fail_msg("%s", wrong);
    }
}

// NaNs may differ in their bits.
static bool same(const unsigned char *a, const unsigned char *b, size_t bytes) {
    for (size_t i = 0; i + sizeof(float) <= bytes; i += sizeof(float)) {
        float x, y;
        memcpy(&x, a + i, sizeof(x)), memcpy(&y, b + i, sizeof(y));
        if (memcmp(&x, &y, sizeof(x)) != 0 && !(isnan(x) && isnan(y))) return false;
    }
    return true;
}

static void run_step(Run *run, uint32_t number) {
    const ProgramStep *step = &run->program->steps[number];
    const Step *planned = &run->plan->steps[number];
    const size_t bytes[2] = {[MEMORY_STATE] = run->program->state_bytes, [MEMORY_ARENA] = run->program->arena_bytes};
    void **buffers = ARENA_ARRAY(run->arena, void *, step->buffer_count);
    for (uint32_t i = 0; i < step->buffer_count; i++)
        buffers[i] = buffer_of(run, number, i, false);
    for (int m = 0; m < 2; m++)
        memcpy(run->copy[m], run->memory[m], bytes[m]);
    for (ValueId id = 0; id < run->plan->value_count; id++)
        if (run->whole[id]) memcpy(run->whole_copy[id], run->whole[id], whole_bytes(run, id));
    bool in_order = step->groups > 0;   // each piece goes on where the one before it left off
    for (uint32_t k = 0; k < step->pieces; k++)
        step->function(buffers, in_order ? k : step->pieces - 1 - k, step->context);
    for (uint32_t k = 0; k < planned->output_count; k++)
        check_output(run, number, planned->outputs[k]);
    if (planned->engine != ENGINE_TILES) return;
    TileProgram *program = tile_lower(run->arena, run->plan, planned, run->target);
    if (!is_exact(program)) return;
    run_interpreter(run, number, program);
    for (int m = 0; m < 2; m++)
        if (!same(run->memory[m], run->copy[m], bytes[m])) {
            show(run, number);
            fail_msg("step %u (%s): other bits than the interpreter", number, planned->label);
        }
    for (ValueId id = 0; id < run->plan->value_count; id++)
        if (run->whole[id] && !same(run->whole[id], run->whole_copy[id], whole_bytes(run, id)))
            fail_msg("step %u (%s): other bits than the interpreter in value %u", number, planned->label, id);
}

// Every stored element of every slot lies where the layout says; next values have no slot of their own.
static void check_slots(const Run *run) {
    const Graph *dims = run->plan->dims;
    for (ValueId id = 0; id < run->plan->value_count; id++) {
        const Value *value = &run->plan->values[id];
        if (value->kind == VALUE_TEMPORARY || value->next_of != VALUE_NONE) continue;
        SlotKind kind = value->kind == VALUE_INPUT ? SLOT_INPUT : value->kind == VALUE_STATE ? SLOT_STATE : SLOT_OUTPUT;
        const ProgramSlot *slot = program_slot(run->program, kind, value->name);
        if (!slot) fail_msg("no slot %s", value->name);
        assert_int_equal(slot->buffer.offset, value->offset);
        assert_int_equal(slot->bytes, value->bytes);
        const Leaf *leaf = value->leaf;
        DimList stored = leaf ? leaf->stored : value->order;
        if (strncmp(value->name, "grad.", 5) == 0)
            stored =
                graph_leaf_at(dims, graph_node(dims, graph_find_leaf_node(dims, value->name + 5))->attr.leaf)->stored;
        assert_int_equal(slot->rank, stored.rank);
        int64_t index[MAX_DIMS] = {0}, count = graph_elements(dims, dim_list_set(&stored)), files = 1;
        for (int axis = 0; axis < slot->stored_rank; axis++)
            files *= slot->stored_extents[axis];
        assert_int_equal(files, count);
        if (leaf) assert_int_equal(slot->stored_rank, leaf->stored_rank);
        for (int64_t i = 0; i < count; i++, count_up(dims, stored, index)) {
            int64_t at[SLOT_MAX_RANK];
            for (int d = 0; d < stored.rank; d++)
                at[d] = index[stored.dims[d]];
            assert_int_equal(slot_offset(slot, at), layout_offset(dims, &value->layout, index));
        }
    }
}

// ---- cases

static Graph *read_case(Arena *arena, const char *name, Diags *diags) {
    char *path = arena_format(arena, SOURCE_DIR "/tests/codegen/cases/%s.graph", name);
    char *source = file_read_all(arena, path, 1 << 20, NULL, diags);
    Graph *graph = source ? graph_parse(arena, name, source, diags) : NULL;
    if (!graph) fail_msg("case %s does not parse", name);
    return graph;
}

static const Plan *plan_of(Arena *arena, const char *name, FuseLevel level, const Target *target) {
    Diags *diags = diags_create(arena);
    Graph *graph = read_case(arena, name, diags);
    Plan *plan = NULL;
    StateTable states = {.arena = arena};
    PassContext context = {.arena = arena,
                           .diags = diags,
                           .ledger = ledger_create(arena),
                           .target = target,
                           .fuse = level,
                           .states = &states,
                           .program = PROGRAM_PLAIN};
    if (graph_find_output(graph, "loss") != NODE_NONE) {
        graph = pass_find("differentiate")->graph(graph, &context);
        assert_non_null(graph);
    }
    bool done = passes_run(&graph, &plan, NULL, &context, NULL);
    Text text = text_create(arena);
    diags_render(diags, &text);
    if (!done) fail_msg("%s at level %s: %s", name, fuse_name(level), text_string(&text));
    return plan;
}

static const Plan *run_case(const char *name, FuseLevel level, Target target, Arena *arena) {
    const Plan *plan = plan_of(arena, name, level, &target);
    Diags *diags = diags_create(arena);
    CodegenReport report = {0};
    Program *program = NULL;
    Text text = text_create(arena);
    if (!codegen_cpu(&plan, &name, 1, &target, &report, &program, diags)) {
        diags_render(diags, &text);
        fail_msg("%s", text_string(&text));
    }
    Run run = {.arena = arena, .plan = plan, .program = program, .target = &target};
    run.expected = ARENA_ARRAY(arena, double *, plan->value_count);
    assert_true(plan_reference(plan, arena, bind_leaf, &run, run.expected));
    for (int m = 0; m < 2; m++) {
        size_t bytes = m == MEMORY_STATE ? program->state_bytes : program->arena_bytes;
        run.memory[m] = memory_allocate(bytes);
        run.copy[m] = memory_allocate(bytes);
        memset(run.memory[m], 0xff, bytes);   // NaN: what is read before it is written shows
    }
    check_slots(&run);
    make_whole(&run);
    fill_leaves(&run);
    for (uint32_t step = 0; step < program->step_count; step++)
        run_step(&run, step);
    print_message("%s at level %s: %u steps, %u distinct kernels, lower %.1f optimize %.1f emit %.1f link %.1f ms\n",
                  name, fuse_name(level), program->step_count, report.distinct_kernels, report.lower_seconds * 1e3,
                  report.optimize_seconds * 1e3, report.emit_seconds * 1e3, report.link_seconds * 1e3);
    for (int m = 0; m < 2; m++)
        memory_release(run.memory[m]), memory_release(run.copy[m]);
    program_free(program);
    return plan;
}

static void test_case(void **state) {
    for (FuseLevel level = FUSE_NONE; level <= FUSE_ALL; level++) {
        Arena *arena = arena_create();
        run_case(*state, level, target_default(), arena);
        arena_free(arena);
    }
}

// Blocks of rows and of sums, and panels asked for ahead, where little fits in the caches.
static void small_caches_case(void **state) {
    Arena *arena = arena_create();
    Target target = target_default();
    target.l1_bytes = 512;
    target.l2_bytes = 32 << 10;
    target.l3_bytes = 1 << 20;
    run_case(*state, FUSE_ALL, target, arena);
    arena_free(arena);
}

// Where only one sequence fits in the caches, all is one strand over sequences, with gradients in as many parts as
// cores.
static void strand_case(void **state) {
    for (int cores = 1; cores <= 2; cores++) {
        Arena *arena = arena_create();
        Target target = target_default();
        target.cores = cores;
        target.l2_bytes = 16 << 10;
        target.l3_bytes = 16 << 10;
        const Plan *plan = run_case(*state, FUSE_ALL, target, arena);
        uint32_t summed = 0, in_parts = 0, scratch = 0;
        for (uint32_t s = 0; s < plan->step_count; s++)
            summed += cut_is_summed(plan, &plan->steps[s]);
        for (ValueId id = 0; id < plan->value_count; id++) {
            in_parts += plan->values[id].parts == (uint32_t)cores;
            scratch += plan->values[id].space == SPACE_SCRATCH;
        }
        assert_true(summed >= 5 && scratch >= 10);
        if (cores > 1) assert_true(in_parts >= 5);
        arena_free(arena);
    }
}

// Where probabilities of all sequences do not fit in the caches, attention is a chain forward and one backward, in
// which the probabilities are made again; dv and dk are summed over its pieces.
static void chain_case(void **state) {
    Arena *arena = arena_create();
    Target target = target_default();
    target.l2_bytes = 32 << 10;
    target.l3_bytes = 4 << 20;
    const Plan *plan = run_case(*state, FUSE_ALL, target, arena);
    uint32_t chained = 0, summed = 0, scratch = 0, exps = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        CutRanges ranges;
        chained += cut_in_ranges(plan->dims, &plan->steps[s].cut, &ranges);
        summed += cut_is_summed(plan, &plan->steps[s]);
        exps += plan->steps[s].form == FORM_ROW && plan->steps[s].joined;
    }
    for (ValueId id = 0; id < plan->value_count; id++)
        scratch += plan->values[id].space == SPACE_SCRATCH;
    assert_int_equal(chained, 9);
    assert_int_equal(summed, 2);
    assert_int_equal(scratch, 5);
    assert_int_equal(exps, 2);
    arena_free(arena);
}

// Where one sequence's activations fit in a third-level cache, and its probabilities not in a second-level one: chains
// inside of a strand.
static void nested_case(void **state) {
    Arena *arena = arena_create();
    Target target = target_default();
    target.l2_bytes = 16 << 10;
    target.l3_bytes = 64 << 10;
    const Plan *plan = run_case(*state, FUSE_ALL, target, arena);
    const Cut **windows = plan_windows(plan, plan_nest(plan, arena), arena);
    uint32_t chained = 0, summed = 0, ranges = 0, whole = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        chained += plan->steps[s].chained;
        summed += plan->steps[s].chained && cut_is_summed(plan, &plan->steps[s]);
    }
    for (ValueId id = 0; id < plan->value_count; id++) {
        ranges += windows[id] && windows[id]->dims.rank > 1;
        whole += windows[id] && windows[id]->dims.rank == 1;
    }
    assert_true(chained >= 6 && summed >= 1 && ranges >= 5 && whole >= 10);
    arena_free(arena);
}

#define SMALL(name)                                                                                                    \
    { name " in small caches", small_caches_case, NULL, NULL, (void *)(uintptr_t)name }
#define CASE(name)                                                                                                     \
    { name, test_case, NULL, NULL, (void *)(uintptr_t)name }

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE("map"),
        CASE("moves"),
        CASE("rows"),
        CASE("columns"),
        CASE("products"),
        CASE("long_sums"),
        CASE("blocks"),
        CASE("indexed"),
        CASE("block"),
        CASE("banded"),
        CASE("window"),
        CASE("strand"),
        {"banded in pieces", chain_case, NULL, NULL, (void *)(uintptr_t) "banded"},
        {"window in pieces", chain_case, NULL, NULL, (void *)(uintptr_t) "window"},
        {"strand in pieces", strand_case, NULL, NULL, (void *)(uintptr_t) "strand"},
        {"nested in pieces", nested_case, NULL, NULL, (void *)(uintptr_t) "nested"},
        SMALL("products"),
        SMALL("long_sums"),
        SMALL("blocks"),
        SMALL("block"),
        SMALL("strand"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
