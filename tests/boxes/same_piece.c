// Edges by experiment (see same_piece.h): evaluate a region, change an operand outside of one piece, evaluate again.
#include "tests/boxes/same_piece.h"

#include "ir/reference/reference.h"

typedef struct {
    const Plan *plan;
    const Step *step;
    const Cut *cut;      // whose pieces the two steps of an edge share
    Arena *arena;
    double **operands;   // by operand number
    uint64_t state;
} Trial;

static double next_value(Trial *trial, DType dtype) {   // splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
    uint64_t z = (trial->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    if (dtype == DTYPE_BOOL) return (double)(z % 2);
    return dtype == DTYPE_I32 ? (double)(z % 3) : (double)(z >> 11) * 0x1p-52 - 1;
}

static int64_t elements(const Trial *trial, const Value *value) {
    return graph_elements(trial->plan->dims, dim_list_set(&value->order));
}

// The piece that holds element `at` of a value stored in its order.
static int64_t piece_of(const Trial *trial, const Value *value, int64_t at) {
    const Graph *dims = trial->plan->dims;
    const Cut *cut = trial->cut;
    int64_t index[MAX_DIMS] = {0}, row = 0, piece = 0;
    for (int i = value->order.rank - 1; i >= 0; i--) {
        int64_t extent = graph_extent(dims, value->order.dims[i]);
        index[value->order.dims[i]] = at % extent;
        at /= extent;
    }
    for (int i = 0; i < cut->dims.rank; i++)
        row = row * graph_extent(dims, cut->dims.dims[i]) + index[cut->dims.dims[i]];
    while (cut->total * (piece + 1) / cut->pieces <= row) piece++;
    return piece;
}

static const double *evaluate(const Trial *trial, Reference *reference, uint32_t output) {
    for (uint32_t k = 0; k < trial->step->operand_count; k++)
        reference_bind_operand(reference, (int)k, trial->operands[k]);
    const char *unbound = NULL;
    if (!reference_run(reference, &unbound)) return NULL;
    return reference_value(reference, graph_output_at(trial->step->region, output)->node);
}

static const char *check_output(Trial *trial, uint32_t operand, uint32_t output, int64_t piece) {
    const Value *read = &trial->plan->values[trial->step->operands[operand]];
    const Value *written = &trial->plan->values[trial->step->outputs[output]];
    Reference *reference = reference_create(trial->step->region);
    int64_t count = elements(trial, written);
    double *before = ARENA_ARRAY(trial->arena, double, (size_t)count);
    const double *values = evaluate(trial, reference, output);
    for (int64_t i = 0; i < count; i++) before[i] = values[i];
    for (int64_t i = 0; i < elements(trial, read); i++)
        if (piece_of(trial, read, i) != piece) trial->operands[operand][i] = next_value(trial, read->dtype);
    values = evaluate(trial, reference, output);
    const char *wrong = NULL;
    for (int64_t i = 0; i < count && !wrong; i++)
        if (piece_of(trial, written, i) == piece && values[i] != before[i] && values[i] == values[i])
            wrong = arena_format(trial->arena, "piece %lld of step '%s' depends on another piece of its operand %u",
                                 (long long)piece, trial->step->label, operand);
    reference_free(reference);
    return wrong;
}

// Of a sum over the cut's dims each piece has a share, not a part of its own.
static bool is_sum(const Trial *trial, ValueId id) {
    return dim_list_set(&trial->cut->dims) & ~dim_list_set(&trial->plan->values[id].order);
}

static const char *check_edge(Trial *trial, uint32_t k) {
    uint32_t pieces = trial->cut->pieces;
    for (uint32_t j = 0; j < trial->step->output_count; j++)
        for (int64_t piece = 0; piece < pieces && !is_sum(trial, trial->step->outputs[j]);
             piece += pieces > 1 ? pieces - 1 : 1) {
            const char *wrong = check_output(trial, k, j, piece);
            if (wrong) return wrong;
        }
    return NULL;
}

static const char *check_step(Trial *trial, const StepNest *nest, const uint32_t *writer) {
    const Step *step = trial->step;
    trial->operands = ARENA_ARRAY(trial->arena, double *, step->operand_count);
    for (uint32_t k = 0; k < step->operand_count; k++) {
        const Value *value = &trial->plan->values[step->operands[k]];
        trial->operands[k] = ARENA_ARRAY(trial->arena, double, (size_t)elements(trial, value));
        for (int64_t i = 0; i < elements(trial, value); i++) trial->operands[k][i] = next_value(trial, value->dtype);
    }
    for (uint32_t k = 0; k < step->operand_count; k++) {
        if (step->edges[k] != EDGE_SAME) continue;
        trial->cut =
            plan_shared_cut(trial->plan, nest, writer[step->operands[k]], (uint32_t)(step - trial->plan->steps));
        if (!trial->cut)
            return arena_format(trial->arena, "step '%s' shares no pieces with its operand %u", step->label, k);
        const char *wrong = check_edge(trial, k);
        if (wrong) return wrong;
    }
    return NULL;
}

const char *same_piece_check(const Plan *plan, Arena *arena) {
    const StepNest *nest = plan_nest(plan, arena);
    const uint32_t *writer = plan_writers(plan, arena);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Trial trial = {.plan = plan, .step = &plan->steps[s], .arena = arena, .state = s};
        const char *wrong = check_step(&trial, nest, writer);
        if (wrong) return wrong;
    }
    return NULL;
}
