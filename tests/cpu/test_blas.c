// Products by OpenBLAS against sums in double: dims in every order that BLAS can take, cuts in and across axes, views,
// and several threads at once.
#include "tests/cpu/compile.h"

#include <math.h>
#include <pthread.h>

typedef struct {
    const char *a, *b, *result; // dims, outermost first; a Z in an operand is selected at entry 1
    const char *layout;         // memory order of the result; NULL: its dims' order
    int cut_dims;
} Case;

static const Case cases[] = {
    {"BTC", "CF", "BTF", NULL, 2}, // rows merge, cut across them
    {"BTC", "FC", "BTF", NULL, 1}, // cut in the outer part of a merged axis
    {"CBT", "CF", "BTF", NULL, 2}, // rows operand column by column
    {"TBC", "CF", "BTF", NULL, 2}, // rows do not merge: a loop, and a cut over two axes
    {"BTC", "BTF", "CF", NULL, 1}, // a weight's gradient: summed dims merge
    {"BTF", "BTC", "CF", NULL, 1},       {"BTHD", "BSHD", "BHTS", NULL, 3}, // batch dims, cut down to rows
    {"BHTS", "BSHD", "BTHD", NULL, 2},                                      // batch dim inside the rows
    {"BTHD", "HDC", "BTC", NULL, 2},                                        // summed dims merge
    {"BTZHD", "BSZHD", "BHTS", NULL, 2},                                    // operands inside a larger value
    {"BTC", "CF", "BTF", "FBT", 0},                                         // the result lies column by column
    {"UBC", "CF", "UBF", NULL, 2},                                          // an extent of 1
    {"BC", "CU", "BU", NULL, 1},                                            // one lane
    {"UC", "CF", "UF", NULL, 0},                                            // one row
    {"UC", "FC", "UF", NULL, 0},
};

static int64_t extent_of(char name) {
    static const char names[] = "BTSHDCFZU";
    static const int64_t extents[] = {3, 5, 6, 2, 4, 7, 9, 3, 1};
    return extents[strchr(names, name) - names];
}

static DimList dims_of(Graph *graph, const char *names) {
    DimList list = {0};
    for (; *names; names++)
        list.dims[list.rank++] = graph_dim(graph, (char[]){*names, 0}, extent_of(*names));
    return list;
}

static NodeId operand(Graph *region, int number, const char *names) {
    NodeId node = build_operand(region, number, DTYPE_F32, dims_of(region, names));
    if (strchr(names, 'Z')) node = build_select(region, node, graph_dim(region, "Z", extent_of('Z')), 1);
    return node;
}

static DimSet summed_of(Graph *region, const Case *c) {
    DimSet set = 0;
    for (const char *name = c->a; *name; name++)
        if (!strchr(c->result, *name) && *name != 'Z')
            set |= dim_bit(graph_dim(region, (char[]){*name, 0}, extent_of(*name)));
    return set;
}

// A plan of one step: values 0 and 1 are the operands, 2 the result.
static Plan *plan_of(Arena *arena, const Case *c, uint32_t pieces) {
    Graph *region = graph_create(arena, "product");
    NodeId a = operand(region, 0, c->a), b = operand(region, 1, c->b);
    NodeId product = build_contract(region, a, b, summed_of(region, c));
    DimList order = dims_of(region, c->result);
    graph_set_order(region, product, order);
    graph_output(region, "y", product);

    Plan *plan = ARENA_NEW(arena, Plan);
    *plan = (Plan){.arena = arena,
                   .dims = region,
                   .value_count = 3,
                   .step_count = 1,
                   .values = ARENA_ARRAY(arena, Value, 3),
                   .steps = ARENA_NEW(arena, Step)};
    const char *layouts[] = {c->a, c->b, c->layout ? c->layout : c->result};
    for (int i = 0; i < 3; i++)
        plan->values[i] = (Value){.kind = VALUE_TEMPORARY,
                                  .dtype = DTYPE_F32,
                                  .next_of = VALUE_NONE,
                                  .order = i < 2 ? dims_of(region, layouts[i]) : order,
                                  .layout = layout_plain(region, dims_of(region, layouts[i]))};
    Step *step = plan->steps;
    *step = (Step){.label = "product",
                   .form = FORM_PRODUCT,
                   .engine = ENGINE_BLAS,
                   .region = region,
                   .operand_count = 2,
                   .output_count = 1,
                   .operands = ARENA_ARRAY(arena, ValueId, 2),
                   .outputs = ARENA_NEW(arena, ValueId),
                   .cut = {.total = 1, .pieces = pieces}};
    step->operands[1] = 1;
    step->outputs[0] = 2;
    for (int i = 0; i < c->cut_dims; i++) {
        step->cut.dims.dims[step->cut.dims.rank++] = order.dims[i];
        step->cut.total *= graph_extent(region, order.dims[i]);
    }
    return plan;
}

// ---- the sum itself

static double operand_at(const Plan *plan, int number, const char *names, const float *values, int64_t *index) {
    if (strchr(names, 'Z')) {
        DimId z;
        CHECK(graph_find_dim(plan->dims, "Z", &z));
        index[z] = 1;
    }
    return values[layout_offset(plan->dims, &plan->values[number].layout, index)];
}

static double sum_at(const Plan *plan, const Case *c, const float *a, const float *b, DimList summed, int dim,
                     int64_t *index) {
    if (dim == summed.rank) return operand_at(plan, 0, c->a, a, index) * operand_at(plan, 1, c->b, b, index);
    double sum = 0;
    for (int64_t i = 0; i < graph_extent(plan->dims, summed.dims[dim]); i++) {
        index[summed.dims[dim]] = i;
        sum += sum_at(plan, c, a, b, summed, dim + 1, index);
    }
    return sum;
}

static DimList list_of(DimSet set) {
    DimList list = {0};
    for (DimId dim = 0; dim < MAX_DIMS; dim++)
        if (dim_in(set, dim)) list.dims[list.rank++] = dim;
    return list;
}

static void check_result(const Plan *plan, const Case *c, float *const *buffers, size_t count, uint32_t piece,
                         bool only) {
    const Graph *dims = plan->dims;
    DimList order = plan->values[2].order, summed = list_of(summed_of((Graph *)(uintptr_t)dims, c));
    const Cut *cut = &plan->steps[0].cut;
    int64_t begin = cut->total * piece / cut->pieces, end = cut->total * (piece + 1) / cut->pieces;
    for (size_t i = 0; i < count; i++) {
        int64_t index[MAX_DIMS] = {0}, rest = (int64_t)i, row = 0;
        for (int d = order.rank; d-- > 0;) {
            index[order.dims[d]] = rest % graph_extent(dims, order.dims[d]);
            rest /= graph_extent(dims, order.dims[d]);
        }
        for (int d = 0; d < cut->dims.rank; d++)
            row = row * graph_extent(dims, order.dims[d]) + index[order.dims[d]];
        float found = buffers[2][layout_offset(dims, &plan->values[2].layout, index)];
        bool written = !only || (row >= begin && row < end);
        double wanted = written ? sum_at(plan, c, buffers[0], buffers[1], summed, 0, index) : -99;
        if (fabs(found - wanted) > 1e-4 * (1 + fabs(wanted)))
            fail_msg("%s,%s->%s cut %d/%u: element %zu is %g, not %g", c->a, c->b, c->result, c->cut_dims, cut->pieces,
                     i, (double)found, wanted);
    }
}

static void run_case(const Case *c, uint32_t pieces) {
    Arena *arena = arena_create();
    const Plan *plan = plan_of(arena, c, pieces);
    const void *context = blas_context(arena, plan, &plan->steps[0]);
    float *buffers[3];
    size_t counts[3];
    for (int i = 0; i < 3; i++) {
        counts[i] = (size_t)layout_elements(&plan->values[i].layout);
        buffers[i] = floats(counts[i]);
    }
    // Each piece writes its rows and nothing else.
    for (uint32_t piece = 0; piece < pieces; piece++) {
        for (size_t i = 0; i < counts[2]; i++)
            buffers[2][i] = -99;
        blas_product((void *const *)buffers, piece, context);
        check_result(plan, c, buffers, counts[2], piece, true);
    }
    for (uint32_t piece = pieces; piece-- > 0;)
        blas_product((void *const *)buffers, piece, context);
    check_result(plan, c, buffers, counts[2], 0, false);
    for (int i = 0; i < 3; i++)
        release(buffers[i], counts[i]);
    arena_free(arena);
}

static void products(void **state) {
    (void)state;
    static const uint32_t pieces[] = {1, 2, 3, 7, 15};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++)
            if (pieces[p] == 1 || cases[i].cut_dims > 0) run_case(&cases[i], pieces[p]);
}

// ---- several threads at once

enum { THREADS = 4, ROUNDS = 300, SIZE = 96 };

typedef struct {
    const void *context;
    float *buffers[3];
    uint32_t first;
} Worker;

static void *work(void *argument) {
    Worker *worker = argument;
    for (int round = 0; round < ROUNDS; round++)
        for (uint32_t piece = worker->first; piece < 2 * THREADS; piece += THREADS)
            blas_product((void *const *)worker->buffers, piece, worker->context);
    return NULL;
}

static Plan *square_plan(Arena *arena) {
    Graph *region = graph_create(arena, "square");
    DimId m = graph_dim(region, "M", SIZE), n = graph_dim(region, "N", SIZE), k = graph_dim(region, "K", SIZE);
    DimList lists[3] = {{2, {m, k}}, {2, {k, n}}, {2, {m, n}}};
    NodeId a = build_operand(region, 0, DTYPE_F32, lists[0]), b = build_operand(region, 1, DTYPE_F32, lists[1]);
    NodeId product = build_contract(region, a, b, dim_bit(k));
    graph_set_order(region, product, lists[2]);
    graph_output(region, "y", product);
    Plan *plan = plan_of(arena, &cases[0], 2 * THREADS);
    plan->dims = plan->steps[0].region = region;
    for (int i = 0; i < 3; i++) {
        plan->values[i].order = lists[i];
        plan->values[i].layout = layout_plain(region, lists[i]);
    }
    plan->steps[0].cut = (Cut){.dims = {1, {m}}, .total = SIZE, .pieces = 2 * THREADS};
    return plan;
}

static void threads_do_not_disturb(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Plan *plan = square_plan(arena);
    const void *context = blas_context(arena, plan, &plan->steps[0]);
    float *a = floats(SIZE * SIZE), *b = floats(SIZE * SIZE), *alone = floats(SIZE * SIZE),
          *together = floats(SIZE * SIZE);
    for (int64_t piece = 0; piece < 2 * THREADS; piece++)
        blas_product((void *const[]){a, b, alone}, piece, context);
    Worker workers[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t t = 0; t < THREADS; t++) {
        workers[t] = (Worker){.context = context, .buffers = {a, b, together}, .first = t};
        assert_int_equal(pthread_create(&threads[t], NULL, work, &workers[t]), 0);
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(threads[t], NULL);
    for (size_t i = 0; i < SIZE * SIZE; i++)
        assert_same_bits(alone[i], together[i], i);
    release(a, SIZE * SIZE), release(b, SIZE * SIZE), release(alone, SIZE * SIZE), release(together, SIZE * SIZE);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(threads_do_not_disturb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
