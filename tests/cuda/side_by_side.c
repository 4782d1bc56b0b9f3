// CPU and emulated CUDA in lockstep (see side_by_side.h).
#include "tests/cuda/side_by_side.h"

#include <math.h>
#include <string.h>

#include "base/diag.h"
#include "base/half.h"

// ---- bf16 and f16 on a CPU

static bool is_half(DType dtype) { return dtype == DTYPE_BF16 || dtype == DTYPE_F16; }

// What is stored so gets memory of its own behind the rest.
static const Plan *widen(Arena *arena, const Plan *plan) {
    Plan *wide = ARENA_NEW(arena, Plan);
    *wide = *plan;
    wide->values = ARENA_ARRAY(arena, Value, plan->value_count + 1);
    for (ValueId id = 0; id < plan->value_count; id++) {
        Value *value = &wide->values[id];
        *value = plan->values[id];
        if (!is_half(value->dtype)) continue;
        size_t *ends[] = {[SPACE_STATE] = &wide->state_bytes, [SPACE_ARENA] = &wide->arena_bytes,
                          [SPACE_SCRATCH] = &wide->scratch_bytes},
               *end = ends[value->space];
        CHECK(value->parts <= 1);
        value->dtype = DTYPE_F32;
        value->is_over = false;
        value->bytes = value->space == SPACE_SCRATCH
                           ? 2 * value->bytes
                           : ((size_t)layout_elements(&value->layout) * sizeof(float) + 63) / 64 * 64;
        value->offset = value->next_of == VALUE_NONE ? *end : wide->values[value->next_of].offset;
        if (value->next_of == VALUE_NONE) *end += value->bytes;
    }
    return wide;
}

static float widened(DType dtype, uint16_t half) {
    return dtype == DTYPE_F16 ? float_from_f16(half) : float_from_bf16(half);
}

static uint16_t narrowed(DType dtype, float value) {
    return dtype == DTYPE_F16 ? f16_from_float(value) : bf16_from_float(value);
}

static char *cpu_data(const SideBySide *side, ValueId id) {
    const Value *value = &side->wide->values[id];
    static const ProgramMemory memories[] = {
        [SPACE_STATE] = MEMORY_STATE, [SPACE_ARENA] = MEMORY_ARENA, [SPACE_SCRATCH] = MEMORY_SCRATCH};
    return side->cpu[memories[value->space]] + value->offset;
}

static char *gpu_data(const SideBySide *side, ValueId id) {
    const Value *value = &side->plan->values[id];
    return side->gpu[value->space == SPACE_STATE ? MEMORY_STATE : MEMORY_ARENA] + value->offset;
}

static int64_t elements_of(const Value *value) {
    return layout_elements(&value->layout) * (value->parts > 1 ? value->parts : 1);
}

// Of scratch memory what a piece has written. What is rounded stays as it is when it is rounded again.
static void round_outputs(const SideBySide *side, const Step *step) {
    for (uint32_t k = 0; k < step->output_count; k++) {
        const Value *value = &side->plan->values[step->outputs[k]];
        bool is_scratch = value->space == SPACE_SCRATCH;
        int64_t count = is_scratch ? (int64_t)(value->bytes / dtype_bytes(value->dtype)) : elements_of(value);
        float *numbers = (float *)cpu_data(side, step->outputs[k]);
        for (int64_t i = 0; is_half(value->dtype) && i < count; i++)
            numbers[i] = widened(value->dtype, narrowed(value->dtype, numbers[i]));
    }
}

// ---- both sides

SideBySide *side_create(Arena *arena, const Plan *plan, const Target *target, SourceEdit edit, const char **why) {
    return side_create_changed(arena, plan, target, NULL, edit, why);
}

SideBySide *side_create_changed(Arena *arena, const Plan *plan, const Target *target, CodeChange change,
                                SourceEdit edit, const char **why) {
    SideBySide *side = ARENA_NEW(arena, SideBySide);
    *side = (SideBySide){.arena = arena, .plan = plan, .wide = widen(arena, plan)};
    Diags *diags = diags_create(arena);
    CodegenReport report = {0};
    const char *name = "plan";
    Text text = text_create(arena);
    bool done = codegen_cpu(&side->wide, &name, 1, target, &report, &side->program, diags);
    if (done) side->code = codegen_cuda(&plan, &name, 1, target, NULL, diags);
    diags_render(diags, &text);
    if (!side->code) BUG("%s", text_string(&text));
    if (change) change(side->code, target);
    side->emulated = emulated_code_create(arena, side->code, edit, why);
    size_t cpu[] = {
        [MEMORY_STATE] = side->program->state_bytes, [MEMORY_ARENA] = side->program->arena_bytes,
        [MEMORY_SCRATCH] = side->program->scratch_bytes};
    const CudaProgram *program = &side->code->programs[0];
    size_t gpu[] = {
        [MEMORY_STATE] = program->state_bytes, [MEMORY_ARENA] = program->arena_bytes, [MEMORY_SCRATCH] = 0};
    for (int m = 0; m < MEMORY_COUNT; m++) {
        side->cpu[m] = memset(memory_allocate(cpu[m] + 64), 0xff, cpu[m]);
        side->gpu[m] = memset(memory_allocate(gpu[m] + 64), 0xff, gpu[m]);
    }
    memset(side->gpu[MEMORY_ARENA] + plan->arena_bytes, 0, program->arena_bytes - plan->arena_bytes);
    if (side->emulated) return side;
    side_free(side);
    return NULL;
}

void side_free(SideBySide *side) {
    if (!side) return;
    emulated_code_free(side->emulated);
    cuda_code_free(side->code);
    program_free(side->program);
    for (int m = 0; m < MEMORY_COUNT; m++) memory_release(side->cpu[m]), memory_release(side->gpu[m]);
}

void *side_data(const SideBySide *side, const ProgramSlot *slot) {
    return side->cpu[slot->buffer.memory] + slot->buffer.offset;
}

// ---- filling

static uint64_t next_random(uint64_t *state) { // splitmix64
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// About normal: a sum of four.
static float normal(uint64_t *state) {
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += (double)(next_random(state) >> 40) / (1 << 24) - 0.5;
    return (float)(sum * 1.7320508);
}

static void fill_integers(const ProgramSlot *slot, int32_t *values, size_t count, uint64_t *random, int run,
                          int64_t vocabulary) {
    int32_t scalar = strcmp(slot->name, "seed") == 0 ? 1337 : strcmp(slot->name, "step") == 0 ? run : 0;
    for (size_t i = 0; i < count; i++)
        values[i] = slot->rank == 0 ? scalar : (int32_t)(next_random(random) % (uint64_t)vocabulary);
}

void side_fill(const SideBySide *side, uint64_t seed, int run, int64_t vocabulary) {
    for (uint32_t i = 0; i < side->program->slot_count; i++) {
        const ProgramSlot *slot = &side->program->slots[i];
        if (slot->kind == SLOT_OUTPUT || (slot->kind == SLOT_STATE && side->has_run)) continue;
        uint64_t random = seed * 1000003 + i * 101 + (uint64_t)run;
        size_t count = slot->bytes / sizeof(float);
        float *values = side_data(side, slot);
        if (slot->element == ELEMENT_I32) fill_integers(slot, side_data(side, slot), count, &random, run, vocabulary);
        if (slot->element != ELEMENT_F32 || slot->copy_of) continue;
        for (size_t k = 0; k < count; k++) {
            values[k] = slot->kind == SLOT_INPUT ? 1e-3f : (float)slot->init_value;
            if (slot->kind == SLOT_STATE && slot->is_param)
                values[k] =
                    slot->init == 0 ? 3 * (float)slot->init_value * normal(&random) : 1 + 0.1f * normal(&random);
        }
    }
}

// Copies of params in bf16 or f16, in the order of their params; the CPU's numbers are those of the GPU.
static void fill_copy(const SideBySide *side, ValueId copy) {
    const Value *value = &side->plan->values[copy];
    const ProgramSlot *param = program_slot(side->program, SLOT_STATE, value->leaf->name);
    const float *from = side_data(side, param);
    float *cpu = (float *)cpu_data(side, copy);
    for (int64_t i = 0; i < elements_of(value); i++) {
        uint16_t half = narrowed(value->dtype, from[i]);
        cpu[i] = widened(value->dtype, half);
        ((uint16_t *)gpu_data(side, copy))[i] = half;
    }
}

static void copy_leaves(const SideBySide *side) {
    for (ValueId id = 0; id < side->plan->value_count && !side->has_run; id++)
        if (side->plan->values[id].is_copy) fill_copy(side, id);
    for (uint32_t i = 0; i < side->program->slot_count; i++) {
        const ProgramSlot *slot = &side->program->slots[i];
        if (slot->kind == SLOT_OUTPUT || slot->copy_of || (slot->kind == SLOT_STATE && side->has_run)) continue;
        memcpy(side->gpu[slot->buffer.memory] + slot->buffer.offset, side_data(side, slot), slot->bytes);
    }
}

// ---- comparing

// Elements outside of the value's band, and behind its rows, need not be there.
static bool is_wanted(const Plan *plan, const Value *value, int64_t element) {
    if (!value->band.is_set && layout_is_plain(plan->dims, &value->layout)) return true;
    int64_t row = 0, column = 0;
    for (int i = value->layout.count - 1; i >= 0; i--) {
        const LayoutPiece *piece = &value->layout.pieces[i];
        CHECK(piece->divisor == 1 && piece->dims.rank == 1);
        int64_t index = element % piece->extent;
        if (index >= graph_extent(plan->dims, piece->dims.dims[0])) return false;
        if (piece->dims.dims[0] == value->band.row) row = index;
        if (piece->dims.dims[0] == value->band.column) column = index;
        element /= piece->extent;
    }
    if (!value->band.is_set) return true;
    return column - row >= value->band.low && column - row <= value->band.high;
}

// The same bits; one NaN is as good as another.
static bool same_float(const void *a, const void *b) {
    float x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return memcmp(a, b, sizeof x) == 0 || (isnan(x) && isnan(y));
}

// The largest that is wanted of an f32 value.
static double largest_of(const SideBySide *side, const Value *value, const char *data, int64_t count) {
    double largest = 0;
    for (int64_t i = 0; i < count; i++) {
        float number;
        memcpy(&number, data + (size_t)i * sizeof number, sizeof number);
        if (is_wanted(side->plan, value, i) && isfinite(number)) largest = fmax(largest, fabs((double)number));
    }
    return largest;
}

// An element as a number, and whether both have the same bits.
static bool read_both(const SideBySide *side, ValueId id, int64_t i, float *cpu, float *gpu) {
    DType dtype = side->plan->values[id].dtype;
    size_t wide = dtype_bytes(side->wide->values[id].dtype), own = dtype_bytes(dtype);
    const char *a = cpu_data(side, id) + (size_t)i * wide, *b = gpu_data(side, id) + (size_t)i * own;
    uint16_t half;
    *cpu = *gpu = 0;
    memcpy(cpu, a, wide);
    memcpy(gpu, b, own);
    if (is_half(dtype)) {
        memcpy(&half, b, own);
        *gpu = widened(dtype, half);
    }
    return dtype == DTYPE_F32 || is_half(dtype) ? same_float(cpu, gpu) : memcmp(a, b, own) == 0;
}

// Within `tolerance` of the value's largest element, and within what 16 bits then round otherwise; 0: the same bits.
static const char *compare_value(const SideBySide *side, ValueId id, double tolerance) {
    const Value *value = &side->plan->values[id];
    int64_t count = elements_of(value);
    if (tolerance > 0 && is_half(value->dtype)) tolerance += value->dtype == DTYPE_BF16 ? 0x1p-8 : 0x1p-11;
    double allowed = tolerance > 0 ? tolerance * largest_of(side, value, cpu_data(side, id), count) : 0;
    for (int64_t i = 0; i < count; i++) {
        float cpu, gpu;
        if (read_both(side, id, i, &cpu, &gpu) || !is_wanted(side->plan, value, i)) continue;
        if (fabs((double)cpu - (double)gpu) <= allowed) continue;
        return arena_format(side->arena, "value %u (%s), element %lld of %lld: the CPU has %.9g, the emulation %.9g",
                            id, value->name ? value->name : "temporary", (long long)i, (long long)count, (double)cpu,
                            (double)gpu);
    }
    return NULL;
}

// ---- running

static void run_cpu_piece(const SideBySide *side, const ProgramStep *step, int64_t piece) {
    void **buffers = ARENA_ARRAY(side->arena, void *, step->buffer_count + 1);
    for (uint32_t i = 0; i < step->buffer_count; i++) {
        uintptr_t start = (uintptr_t)(side->cpu[step->buffers[i].memory] + step->buffers[i].offset);
        ProgramWindow window = step->windows ? step->windows[i] : (ProgramWindow){0};
        if (window.bytes) start -= (uintptr_t)(piece / window.pieces) * window.bytes;
        buffers[i] = (void *)start;
    }
    step->function(buffers, piece, step->context);
}

// The steps of one launch: piece by piece all of them.
static void run_cpu_steps(const SideBySide *side, uint32_t first, uint32_t end) {
    bool is_chain = end > first + 1;
    for (int64_t piece = 0; piece < side->program->steps[first].pieces; piece++)
        for (uint32_t s = first; s < end; s++) {
            run_cpu_piece(side, &side->program->steps[s], piece);
            if (is_chain) round_outputs(side, &side->plan->steps[s]);
        }
    if (!is_chain) round_outputs(side, &side->plan->steps[first]);
}

// Whether dims, from the lowest, lie side by side in all operands that have one of them.
static bool lie_in_order(const SideBySide *side, const Step *step, DimSet dims) {
    for (uint32_t k = 0; k < step->operand_count; k++) {
        const DimList *order = &side->plan->values[step->operands[k]].order;
        int before = -1;
        for (DimId dim = 0; dim < MAX_DIMS; dim++) {
            int at = 0;
            while (at < order->rank && order->dims[at] != dim) at++;
            if (!dim_in(dims, dim)) continue;
            bool is_here = at < order->rank;
            if (is_here && before >= 0 && at != before + 1) return false;
            if (is_here) before = at;
            else if (dim_list_set(order) & dims) return false;
        }
    }
    return true;
}

// What tensor cores make of a step: the bits of a chain of fused multiply-adds, unless factors are rounded, or summed
// dims are taken in another order since they do not lie side by side.
static double tolerance_of(const SideBySide *side, const Step *step) {
    if (step->tensor.kind == TENSOR_NONE) return 0;
    if (side->rounds) return step->tensor.kind == TENSOR_BF16 ? 1.6e-2 : 4e-3;
    for (NodeId id = 0; id < graph_nodes(step->region); id++)
        if (graph_node(step->region, id)->op == OP_CONTRACT &&
            !lie_in_order(side, step, graph_node(step->region, id)->attr.set))
            return 1e-5;
    return 0;
}

// So that the steps behind it, on both sides, begin with the same bits.
static void take_over(const SideBySide *side, const Step *step) {
    for (uint32_t k = 0; k < step->output_count; k++) {
        ValueId id = step->outputs[k];
        const Value *value = &side->plan->values[id];
        if (value->space == SPACE_SCRATCH) continue;
        if (!is_half(value->dtype)) {
            memcpy(cpu_data(side, id), gpu_data(side, id), value->bytes);
            continue;
        }
        for (int64_t i = 0; i < elements_of(value); i++)
            ((float *)cpu_data(side, id))[i] = widened(value->dtype, ((const uint16_t *)gpu_data(side, id))[i]);
    }
}

// What the steps of a launch left in memory, on both sides.
static const char *compare_steps(SideBySide *side, uint32_t first, uint32_t end) {
    const char *wrong = NULL;
    double tolerance = 0;
    for (uint32_t s = first; s < end; s++) tolerance = fmax(tolerance, tolerance_of(side, &side->plan->steps[s]));
    for (uint32_t s = first; s < end; s++) {
        const Step *step = &side->plan->steps[s];
        for (uint32_t k = 0; k < step->output_count && !wrong; k++)
            if (side->plan->values[step->outputs[k]].space != SPACE_SCRATCH)
                wrong = compare_value(side, step->outputs[k], tolerance);
        if (tolerance > 0) take_over(side, step);
        side->tensor_steps += step->tensor.kind != TENSOR_NONE;
        side->chained_steps += end > first + 1;
    }
    return wrong;
}

const char *side_run(SideBySide *side, uint64_t seed) {
    copy_leaves(side);
    side->has_run = true;
    const CudaProgram *program = &side->code->programs[0];
    for (uint32_t n = 0; n < program->launch_count; n++) {
        const CudaLaunch *launch = &program->launches[n];
        uint32_t end = plan_strand_end(side->plan, launch->id);
        run_cpu_steps(side, launch->id, end);
        EmulatedRun run = {side->gpu[MEMORY_STATE], side->gpu[MEMORY_ARENA], side->rounds, seed * 4099 + launch->id};
        const char *wrong = emulated_launch(side->emulated, side->arena, launch, &run);
        if (!wrong) wrong = compare_steps(side, launch->id, end);
        if (wrong)
            return arena_format(side->arena, "step %u (%s), kernel %s: %s", launch->id, launch->label,
                                side->code->kernels[launch->kernel].name, wrong);
    }
    return NULL;
}

static const char *compare_slot(const SideBySide *side, const ProgramSlot *slot) {
    const char *a = side->cpu[slot->buffer.memory] + slot->buffer.offset;
    const char *b = side->gpu[slot->buffer.memory] + slot->buffer.offset;
    for (size_t i = 0; i < slot->bytes; i += 4) {
        if (slot->element == ELEMENT_F32 ? same_float(a + i, b + i) : memcmp(a + i, b + i, 4) == 0) continue;
        return arena_format(side->arena, "%s, element %zu: it differs from the CPU's", slot->name, i / 4);
    }
    return NULL;
}

const char *side_run_in_order(SideBySide *side, const uint32_t *order, uint64_t seed) {
    copy_leaves(side);
    side->has_run = true;
    const CudaProgram *program = &side->code->programs[0];
    for (uint32_t s = 0, end; s < side->plan->step_count; s = end)
        run_cpu_steps(side, s, end = plan_strand_end(side->plan, s));
    for (uint32_t i = 0; i < program->launch_count; i++) {
        EmulatedRun run = {side->gpu[MEMORY_STATE], side->gpu[MEMORY_ARENA], side->rounds, seed * 4099 + i};
        const char *wrong = emulated_launch(side->emulated, side->arena, &program->launches[order[i]], &run);
        if (wrong) return arena_format(side->arena, "launch %u: %s", order[i], wrong);
    }
    const char *wrong = NULL;
    for (uint32_t i = 0; i < side->program->slot_count && !wrong; i++)
        if (side->program->slots[i].kind != SLOT_INPUT) wrong = compare_slot(side, &side->program->slots[i]);
    return wrong;
}
