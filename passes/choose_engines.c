// choose_engines: tiles or BLAS for each product, and the register tile of the tiled ones.
//
// requires  layouts
// ensures   level op: a product is computed by BLAS where BLAS can; all others, and all other levels, by tiles with
//           tile_rows and tile_lanes set from the Target's registers
// ledger    per product at level op: by BLAS, or the first condition that failed; choices of engines and tiles
//
// BLAS computes C[m,n] += A[m,k] * B[k,n] of f32 matrices with one stride per index and, in each matrix, one of the two
// strides 1. Its caller loops over batch dims and over rows and lanes that do not merge; summed dims cannot be looped
// over (that would be several chains), so they must merge into one stride in both operands.
#include "passes/pass_functions.h"

// ---- BLAS

typedef struct {
    const Plan *plan;
    const Step *step;
    Contraction contraction;
    View rows, lanes;              // how the operands lie
    int64_t stride[MAX_DIMS];      // how the result lies
} Product;

static NodeId find_contract(const Graph *region) {
    for (NodeId id = 0; id < graph_nodes(region); id++)
        if (graph_node(region, id)->op == OP_CONTRACT) return id;
    BUG("a product without a contraction");
}

static const Layout **operand_layouts(const Plan *plan, const Step *step) {
    const Layout **layouts = ARENA_ARRAY(plan->arena, const Layout *, step->operand_count);
    for (uint32_t k = 0; k < step->operand_count; k++) layouts[k] = &plan->values[step->operands[k]].layout;
    return layouts;
}

static void fill_strides(const Plan *plan, const Layout *layout, int64_t *stride) {
    int64_t next = 1;
    for (int i = layout->count - 1; i >= 0; i--) {
        DimId dim = layout->pieces[i].dims.dims[0];
        stride[dim] = next;
        next *= graph_extent(plan->dims, dim);
    }
}

// The dims longer than 1, those that lie furthest out in memory first.
static DimList by_stride(const Product *product, DimList dims, const int64_t *stride) {
    DimList sorted = {0};
    for (int i = 0; i < dims.rank; i++) {
        DimId dim = dims.dims[i];
        if (graph_extent(product->plan->dims, dim) == 1) continue;
        int at = sorted.rank++;
        for (; at > 0 && stride[sorted.dims[at - 1]] < stride[dim]; at--) sorted.dims[at] = sorted.dims[at - 1];
        sorted.dims[at] = dim;
    }
    return sorted;
}

static bool merges(const Product *product, DimList dims, const int64_t *stride) {
    for (int i = 0; i + 1 < dims.rank; i++) {
        DimId outer = dims.dims[i], inner = dims.dims[i + 1];
        if (stride[outer] != stride[inner] * graph_extent(product->plan->dims, inner)) return false;
    }
    return true;
}

// The stride of the innermost of `dims` that is longer than 1; 1 when there is none, since then no stride is taken.
static int64_t inner_stride(const Product *product, DimList dims, const int64_t *stride) {
    for (int i = dims.rank; i-- > 0;)
        if (graph_extent(product->plan->dims, dims.dims[i]) > 1) return stride[dims.dims[i]];
    return 1;
}

static const char *matrix_refusal(const Product *product, const char *name, DimList first, DimList second,
                                  const int64_t *stride) {
    int64_t a = inner_stride(product, first, stride), b = inner_stride(product, second, stride);
    if (a == 1 || b == 1) return NULL;
    return arena_format(product->plan->arena, "%s has strides %lld and %lld, none of them 1", name, (long long)a,
                        (long long)b);
}

static const char *stride_refusal(const Product *product) {
    const Contraction *c = &product->contraction;
    DimList summed = by_stride(product, c->summed, product->rows.stride);
    if (!merges(product, summed, product->rows.stride))
        return "the summed dims are several strides in the rows operand";
    if (!merges(product, summed, product->lanes.stride))
        return "the summed dims are several strides in the lanes operand";
    const char *refusal = matrix_refusal(product, "the rows operand", c->rows, summed, product->rows.stride);
    if (!refusal) refusal = matrix_refusal(product, "the lanes operand", summed, c->lanes, product->lanes.stride);
    if (!refusal) refusal = matrix_refusal(product, "the result", c->rows, c->lanes, product->stride);
    return refusal;
}

static const char *blas_refusal(const Plan *plan, const Step *step) {
    Product product = {.plan = plan, .step = step};
    const Value *output = &plan->values[step->outputs[0]];
    NodeId contract = find_contract(step->region);
    if (step->output_count != 1 || graph_output_at(step->region, 0)->node != contract) return "it has an epilogue";
    product.contraction = contraction_of(step->region, contract, output->order);
    const Layout **layouts = operand_layouts(plan, step);
    if (!view_of(step->region, product.contraction.rows_operand, layouts, &product.rows) ||
        !view_of(step->region, product.contraction.lanes_operand, layouts, &product.lanes))
        return "an operand does not lie in memory by strides";
    DType rows = plan->values[step->operands[product.rows.operand]].dtype;
    DType lanes = plan->values[step->operands[product.lanes.operand]].dtype;
    if (rows != DTYPE_F32 || lanes != DTYPE_F32 || output->dtype != DTYPE_F32)
        return arena_format(plan->arena, "types %s and %s to %s, not f32", dtype_name(rows), dtype_name(lanes),
                            dtype_name(output->dtype));
    if (!layout_is_plain(plan->dims, &output->layout)) return "the result does not lie in memory by strides";
    fill_strides(plan, &output->layout, product.stride);
    return stride_refusal(&product);
}

// ---- register tiles

// 13: 64 rows are 13, 13, 13, 13, 12. On a GPU extents are rarely no multiples of 8, and a tile takes registers of 16
// threads only: more of them at once do better than larger ones.
enum { MOST_ROWS = 13, GPU_ROWS = 8, WIDE = 32, NARROW = 16 };

// Accumulators of rows x lanes, one row of the lanes operand, and one broadcast must fit the registers.
static uint32_t rows_beside(const Target *target, uint32_t lanes) {
    int vectors = (int)lanes * 4 / target->vector_bytes;
    int rows = (target->vector_registers - vectors - 1) / vectors;
    int most = target_is_gpu(target) ? GPU_ROWS : MOST_ROWS;
    return rows < 1 ? 1 : rows > most ? (uint32_t)most : (uint32_t)rows;
}

// Multiply-adds per load decide between one and two times 16 lanes.
static bool wide_is_better(const Target *target) {
    double wide = rows_beside(target, WIDE), narrow = rows_beside(target, NARROW);
    double wide_vectors = WIDE * 4.0 / target->vector_bytes, narrow_vectors = NARROW * 4.0 / target->vector_bytes;
    return wide * wide_vectors / (wide + wide_vectors) > narrow * narrow_vectors / (narrow + narrow_vectors);
}

static const char *tile_obstacle(const Choice *choice, const Step *step, PassContext *context) {
    if (step->engine == ENGINE_BLAS) return "it is computed by openblas";
    if (choice->lanes != NARROW && choice->lanes != WIDE)
        return arena_format(context->arena, "tiles are %d or %d lanes wide", NARROW, WIDE);
    uint32_t most = rows_beside(context->target, choice->lanes);
    if (choice->rows <= most) return NULL;
    return arena_format(context->arena, "the registers hold %u rows of %u lanes", most, choice->lanes);
}

// A choice of the tile, if it can be; to the ledger.
static void choose_tile_by_choice(Step *step, PassContext *context) {
    Choice *choice = choices_of_step(context->choices, CHOICE_TILE, step);
    if (!choice) return;
    const char *obstacle = tile_obstacle(choice, step, context);
    if (!obstacle) {
        step->tile_rows = choice->rows;
        step->tile_lanes = choice->lanes;
    }
    ledger_add(context->ledger,
               (Decision){.pass = "choose_engines",
                          .what = arena_format(context->arena, "tile %ux%u", choice->rows, choice->lanes),
                          .place = step->place,
                          .made = obstacle == NULL,
                          .reason = obstacle ? choice_obstruct(context->choices, choice, obstacle)
                                             : choice_follow(context->choices, choice)});
}

static void choose_tile(const Plan *plan, Step *step, const Target *target) {
    Contraction contraction =
        contraction_of(step->region, find_contract(step->region), plan->values[step->outputs[0]].order);
    bool fits_narrow = graph_elements(plan->dims, dim_list_set(&contraction.lanes)) <= NARROW;
    step->tile_lanes = !fits_narrow && wide_is_better(target) ? WIDE : NARROW;
    step->tile_rows = rows_beside(target, step->tile_lanes);
}

// ---- the door

// What a choice says of the engine, `engine` before words of the ledger. BLAS still has to be possible.
static bool wants_blas(const Step *step, PassContext *context, const char *refusal, Decision *decision) {
    Choices *choices = context->choices;
    bool wanted = context->fuse == FUSE_OP;
    Choice *choice = choices_of_step(choices, CHOICE_ENGINE, step);
    bool by_engine = choice != NULL;
    if (!choice && wanted) choice = choices_about(choices, decision->pass, decision->what, decision->place);
    if (!choice) return wanted;
    wanted = by_engine ? choice->engine == ENGINE_BLAS : choice->verb == CHOICE_MAKE;
    bool is_obstructed = wanted && refusal;
    decision->reason = is_obstructed ? choice_obstruct(choices, choice, refusal) : choice_follow(choices, choice);
    return wanted;
}

static bool choose_blas(const Plan *plan, const Step *step, PassContext *context) {
    Decision decision = {.pass = "choose_engines", .what = "product by openblas", .place = step->place};
    const char *refusal = target_is_gpu(context->target) ? "it runs on a GPU" : blas_refusal(plan, step);
    decision.made = wants_blas(step, context, refusal, &decision) && !refusal;
    if (!decision.reason && context->fuse != FUSE_OP) return false;
    if (!decision.reason) decision.reason = refusal ? refusal : "level op";
    ledger_add(context->ledger, decision);
    return decision.made;
}

bool pass_choose_engines(Plan *plan, PassContext *context) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        if (step->form != FORM_PRODUCT) continue;
        step->engine = choose_blas(plan, step, context) ? ENGINE_BLAS : ENGINE_TILES;
        if (step->engine == ENGINE_TILES) choose_tile(plan, step, context->target);
        choose_tile_by_choice(step, context);
    }
    return true;
}
