// Emulated plans against the float64 reference (see emulated_plan.h).
#include "tests/cuda/emulated_plan.h"

#include <math.h>
#include <string.h>

#include "base/diag.h"
#include "base/half.h"
#include "ir/reference/reference.h"

EmulatedPlan *emulated_plan_create(Arena *arena, const Plan *plan) {
    EmulatedPlan *run = ARENA_NEW(arena, EmulatedPlan);
    *run = (EmulatedPlan){.arena = arena, .plan = plan};
    run->given = (double **)ARENA_ARRAY(arena, void *, plan->value_count + 1);
    run->expected = (double **)ARENA_ARRAY(arena, void *, plan->value_count + 1);
    return run;
}

const char *emulated_plan_compile(EmulatedPlan *run, const Target *target, LaunchChange change, SourceEdit edit) {
    Diags *diags = diags_create(run->arena);
    const char *name = "plan", *why;
    run->code = codegen_cuda(&run->plan, &name, 1, target, NULL, diags);
    if (!run->code) {
        Text words = text_create(run->arena);
        diags_render(diags, &words);
        BUG("%s", text_string(&words));
    }
    if (change) change(run->code, target);
    const CudaProgram *program = &run->code->programs[0];
    size_t behind = program->arena_bytes + 64 - run->plan->arena_bytes;   // zeros at first, as on a device
    run->memory[MEMORY_STATE] = memory_allocate(program->state_bytes + 64);
    run->memory[MEMORY_ARENA] = memory_allocate(program->arena_bytes + 64);
    memset(run->memory[MEMORY_ARENA] + run->plan->arena_bytes, 0, behind);
    run->emulated = emulated_code_create(run->arena, run->code, edit, &why);
    return run->emulated ? NULL : why;
}

void emulated_plan_free(EmulatedPlan *run) {
    emulated_code_free(run->emulated);
    if (run->code) cuda_code_free(run->code);
    for (int m = 0; m < MEMORY_COUNT; m++)
        if (run->memory[m]) memory_release(run->memory[m]);
}

// ---- where elements lie

static char *data_of(const EmulatedPlan *run, const Value *value) {
    CHECK(value->space != SPACE_SCRATCH);
    return run->memory[value->space == SPACE_STATE ? MEMORY_STATE : MEMORY_ARENA] + value->offset;
}

static int64_t count_of(const EmulatedPlan *run, const Value *value) {
    return graph_elements(run->plan->dims, dim_list_set(&value->order));
}

static int64_t place_of(const EmulatedPlan *run, const Value *value, int64_t element) {
    int64_t index[MAX_DIMS] = {0};
    for (int i = value->order.rank - 1; i >= 0; i--) {
        DimId dim = value->order.dims[i];
        index[dim] = element % graph_extent(run->plan->dims, dim);
        element /= graph_extent(run->plan->dims, dim);
    }
    return layout_offset(run->plan->dims, &value->layout, index);
}

static void write_number(DType dtype, char *data, int64_t place, double number) {
    switch (dtype) {
    case DTYPE_F32: ((float *)(void *)data)[place] = (float)number; return;
    case DTYPE_BF16: ((uint16_t *)(void *)data)[place] = bf16_from_float((float)number); return;
    case DTYPE_F16: ((uint16_t *)(void *)data)[place] = f16_from_float((float)number); return;
    case DTYPE_I32: ((int32_t *)(void *)data)[place] = (int32_t)number; return;
    default: BUG("a leaf of another type");
    }
}

static double read_number(DType dtype, const char *data, int64_t place) {
    switch (dtype) {
    case DTYPE_F32: return (double)((const float *)(const void *)data)[place];
    case DTYPE_BF16: return (double)float_from_bf16(((const uint16_t *)(const void *)data)[place]);
    case DTYPE_F16: return (double)float_from_f16(((const uint16_t *)(const void *)data)[place]);
    default: return (double)((const int32_t *)(const void *)data)[place];
    }
}

// ---- leaves

static bool is_given(const Value *value) { return value->kind == VALUE_INPUT || value->kind == VALUE_STATE; }

// Of the leaf, or of the param that a copy has its name from, in that value's order.
static const double *bind_leaf(void *context, const Leaf *leaf, DimList order) {
    const EmulatedPlan *run = context;
    for (ValueId id = 0; id < run->plan->value_count; id++) {
        const Value *value = &run->plan->values[id];
        if (!is_given(value) || value->is_copy || strcmp(value->leaf->name, leaf->name) != 0) continue;
        double *result = ARENA_ARRAY(run->arena, double, (size_t)count_of(run, value));
        reference_reorder(run->plan->dims, run->given[id], value->order, order, result);
        return result;
    }
    return NULL;
}

void emulated_plan_fill(EmulatedPlan *run, LeafFill fill, void *context) {
    for (ValueId id = 0; id < run->plan->value_count; id++) {
        const Value *value = &run->plan->values[id];
        if (!is_given(value) || value->is_copy) continue;
        int64_t count = count_of(run, value);
        run->given[id] = ARENA_ARRAY(run->arena, double, (size_t)count);
        for (int64_t i = 0; i < count; i++) run->given[id][i] = fill(context, value, i);
    }
    for (ValueId id = 0; id < run->plan->value_count; id++) {
        const Value *value = &run->plan->values[id];
        if (!is_given(value) || !value->is_copy) continue;
        const double *numbers = bind_leaf(run, value->leaf, value->order);
        CHECK(numbers);
        run->given[id] = ARENA_ARRAY(run->arena, double, (size_t)count_of(run, value));
        memcpy(run->given[id], numbers, (size_t)count_of(run, value) * sizeof *numbers);
    }
    if (!plan_reference(run->plan, run->arena, bind_leaf, run, run->expected)) BUG("a leaf has no numbers");
}

// Padding holds zeros in states.
static void write_leaves(const EmulatedPlan *run) {
    memset(run->memory[MEMORY_ARENA], 0xff, run->plan->arena_bytes);
    memset(run->memory[MEMORY_STATE], 0, run->code->programs[0].state_bytes);
    for (ValueId id = 0; id < run->plan->value_count; id++) {
        const Value *value = &run->plan->values[id];
        for (int64_t i = 0; is_given(value) && i < count_of(run, value); i++)
            write_number(value->dtype, data_of(run, value), place_of(run, value, i), run->given[id][i]);
    }
}

// ---- running

const char *emulated_plan_run(EmulatedPlan *run, uint64_t seed) {
    const CudaProgram *program = &run->code->programs[0];
    write_leaves(run);
    for (uint32_t i = 0; i < program->launch_count; i++) {
        const CudaLaunch *launch = &program->launches[i];
        EmulatedRun how = {run->memory[MEMORY_STATE], run->memory[MEMORY_ARENA], run->rounds, seed * 4099 + i};
        const char *wrong = emulated_launch(run->emulated, run->arena, launch, &how);
        if (wrong) return arena_format(run->arena, "launch %u (%s): %s", i, launch->label, wrong);
    }
    return NULL;
}

Distance emulated_plan_distance(const EmulatedPlan *run, ValueId id) {
    const Value *value = &run->plan->values[id];
    const double *expected = run->expected[id];
    int64_t part = layout_elements(&value->layout), parts = value->parts > 1 ? value->parts : 1;
    Distance far = {.element = -1};
    for (int64_t i = 0; i < count_of(run, value); i++) {
        double found = 0;
        for (int64_t k = 0; k < parts; k++)
            found += read_number(value->dtype, data_of(run, value), place_of(run, value, i) + k * part);
        double off = fabs(found - expected[i]);
        if (isfinite(expected[i])) far.largest = fmax(far.largest, fabs(expected[i]));
        else off = found == expected[i] ? 0 : INFINITY;
        if (isnan(off)) off = INFINITY;
        if (off <= far.worst) continue;
        far.worst = off;
        far.element = i;
    }
    return far;
}
