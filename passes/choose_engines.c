// choose_engines: tiles or BLAS for each product, and the register tile of the tiled ones.
//
// requires  layouts
// ensures   level op: a product is computed by BLAS where BLAS can; all others, and all other levels, by tiles with
//           tile_rows and tile_lanes set from the Target's registers
// ledger    per product at level op: by BLAS, or the first condition that failed; choices of engines and tiles
//
// BLAS computes products of f32 matrices that lie by strides (ir/strided.h); its caller loops over batch dims and over
// rows and lanes that do not merge. On a GPU another pass asks for a library, when types are known (choose_library).
#include "ir/strided.h"
#include "passes/panels.h"
#include "passes/pass_functions.h"

// ---- BLAS

static const char *blas_refusal(const Plan *plan, const Step *step) {
    StridedProduct product;
    const char *refusal = strided_product(plan, step, &product);
    if (refusal) return refusal;
    DType rows = plan->values[step->operands[product.rows_view.operand]].dtype;
    DType lanes = plan->values[step->operands[product.lanes_view.operand]].dtype;
    DType result = plan->values[step->outputs[0]].dtype;
    if (rows == DTYPE_F32 && lanes == DTYPE_F32 && result == DTYPE_F32) return NULL;
    return arena_format(plan->arena, "types %s and %s to %s, not f32", dtype_name(rows), dtype_name(lanes),
                        dtype_name(result));
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
    Contraction contraction = product_contraction(plan, step);
    bool fits_narrow = graph_elements(plan->dims, dim_list_set(&contraction.lanes)) <= NARROW;
    step->tile_lanes = !fits_narrow && wide_is_better(target) ? WIDE : NARROW;
    step->tile_rows = rows_beside(target, step->tile_lanes);
}

// ---- the door

static bool choose_blas(const Plan *plan, const Step *step, PassContext *context) {
    if (target_is_gpu(context->target)) return false;
    bool is_wanted = context->fuse == FUSE_OP;
    Decision decision = {.pass = "choose_engines", .what = "product by openblas", .place = step->place};
    const char *refusal = blas_refusal(plan, step);
    decision.made = is_wanted && !refusal;
    bool is_asked = choices_decide_engine(context->choices, step, "openblas", refusal, is_wanted, &decision);
    if (!is_asked && !is_wanted) return false;
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
