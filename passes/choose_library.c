// choose_library: which products of a GPU a library computes, cuBLASLt.
//
// requires  engines, bands, tensor tiles and what values are stored in
// ensures   level op: a product that is one call of the library goes there. At any level: one that a choice names
//           (`engine PLACE cublaslt`), as tuning does where it measured that this is faster; up to MOST_CALLS calls
//           it has no tiles, and of tensor tiles the kind alone; its sum is not cut; what lies outside of its band is
//           computed, too
// does nothing on a processor
// ledger    at level op, and for choices: made, or the first condition that failed
//
//     step 3 product tiles cut(B)/4 groups 4 tile 8 by 32 tensor bf16 64 by 64 stages 4   ->   product blas tensor bf16
//
// Its matrices lie by strides (ir/strided.h), both factors in one type, the result in f32, or in bf16 as they do. What
// is f32 is rounded by the library where products may round. What is computed of the sum may be what the library
// computes of it, too (ir/epilogue.h): a matrix and a bias added, gelu. Level op has products alone; `engine PLACE
// cublaslt plain` takes no others.
#include "ir/strided.h"
#include "passes/pass_functions.h"

enum { MOST_CALLS = 64 };

static const char *type_refusal(const Plan *plan, const Step *step, const StridedProduct *product) {
    DType rows = plan->values[step->operands[product->rows_view.operand]].dtype;
    DType lanes = plan->values[step->operands[product->lanes_view.operand]].dtype;
    DType result = plan->values[step->outputs[0]].dtype;
    bool is_one_type = rows == lanes && (rows == DTYPE_F32 || rows == DTYPE_BF16);
    DType added = product->has_added ? plan->values[step->operands[product->added_view.operand]].dtype : result;
    DType bias = product->has_bias ? plan->values[step->operands[product->bias_view.operand]].dtype : result;
    if (added != result || bias != result)
        return arena_format(plan->arena, "what is added is %s, the result %s",
                            dtype_name(added != result ? added : bias), dtype_name(result));
    if (is_one_type && (result == DTYPE_F32 || result == rows)) return NULL;
    return arena_format(plan->arena, "the library has no product of %s and %s to %s", dtype_name(rows),
                        dtype_name(lanes), dtype_name(result));
}

// It reads all of its operands, and they as they are.
static const char *operand_refusal(const Plan *plan, const Step *step) {
    for (uint32_t k = 0; k < step->operand_count; k++) {
        const Value *value = &plan->values[step->operands[k]];
        if (value->band.is_set) return "an operand is written inside of its band only";
        if (value->parts > 1) return "an operand is a sum of parts";
    }
    return NULL;
}

static const char *library_refusal(const Plan *plan, const Step *step, const Target *target, bool is_plain,
                                   StridedProduct *product) {
    if (target->library_bytes == 0) return "there is no cuBLASLt on this machine";
    const char *refusal =
        is_plain ? strided_product(plan, step, product) : strided_product_with_epilogue(plan, step, product);
    if (!refusal) refusal = type_refusal(plan, step, product);
    if (!refusal) refusal = operand_refusal(plan, step);
    if (!refusal && product->calls > MOST_CALLS)
        refusal = arena_format(plan->arena, "it would be %lld calls", (long long)product->calls);
    return refusal;
}

// As it was before its blocks were chosen.
static void take_blocks_back(Plan *plan, Step *step) {
    step->tensor = (TensorTile){0};
    step->tile_rows = step->tile_lanes = 0;
    step->band = (Band){0};
    step->cut = (Cut){.total = 1, .pieces = 1};
    plan->values[step->outputs[0]].parts = 0;
}

static void choose(Plan *plan, Step *step, PassContext *context) {
    StridedProduct product;
    Decision decision = {.pass = "choose_library", .what = "product by cublaslt", .place = step->place};
    bool is_op = context->fuse == FUSE_OP;
    const Choice *asked = choices_of_step(context->choices, CHOICE_ENGINE, step);
    const char *refusal = library_refusal(plan, step, context->target, asked ? asked->is_plain : is_op, &product);
    bool is_one_call = !refusal && product.calls == 1;
    decision.made = is_op && is_one_call;
    bool is_asked = choices_decide_engine(context->choices, step, "cublaslt", refusal, is_op, &decision);
    if (!is_asked && !is_op) return;
    if (!decision.reason && !refusal && !is_one_call)
        decision.reason = arena_format(plan->arena, "%lld calls, one after the other", (long long)product.calls);
    if (!decision.reason) decision.reason = refusal ? refusal : "level op";
    if (decision.made) {
        step->engine = ENGINE_BLAS;
        take_blocks_back(plan, step);
        step->tensor.kind = context->tensor;
    }
    ledger_add(context->ledger, decision);
}

bool pass_choose_library(Plan *plan, PassContext *context) {
    if (!target_is_gpu(context->target)) return true;
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (plan->steps[s].form == FORM_PRODUCT) choose(plan, &plan->steps[s], context);
    return true;
}
