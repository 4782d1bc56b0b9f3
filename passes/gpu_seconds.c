// In: a step of a plan for a GPU, or bytes of its values. Out: seconds (see gpu_seconds.h).
#include "passes/gpu_seconds.h"

// The memory of all temporaries together is worth this part of the time of all products, a value its share.
static const double memory_part = 1.0 / 8;

double gpu_value_bytes(const Plan *plan, ValueId id) {
    const Value *value = &plan->values[id];
    return (double)layout_elements(&value->layout) * (double)dtype_bytes(value->dtype);
}

double gpu_step_seconds(const Step *step, const Target *target) {
    double peak = target_tensor_flops(target, step->tensor.kind == TENSOR_TF32);
    if (step->form == FORM_SWEEP) return step->flops / (sweep_speed * peak);
    if (step->form != FORM_PRODUCT || step->tensor.kind == TENSOR_NONE)
        return step->flops / (vector_speed * target->peak_flops);
    return step->flops / (tensor_speed * peak);
}

double gpu_memory_seconds(const Plan *plan, const Target *target, double bytes) {
    double products = 0, all = 0;
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (form_multiplies(plan->steps[s].form))
            products += gpu_step_seconds(&plan->steps[s], target);
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_TEMPORARY && plan->values[id].space != SPACE_SCRATCH)
            all += gpu_value_bytes(plan, id);
    return all > 0 ? memory_part * products * bytes / all : 0;
}
