// CPU and emulated CUDA in lockstep (see side_by_side.h).
#include "tests/cuda/side_by_side.h"

#include <math.h>
#include <string.h>

#include "base/diag.h"

SideBySide *side_create(Arena *arena, const Plan *plan, const Target *target, SourceEdit edit, const char **why) {
    SideBySide *side = ARENA_NEW(arena, SideBySide);
    *side = (SideBySide){.arena = arena, .plan = plan};
    Diags *diags = diags_create(arena);
    CodegenReport report = {0};
    const char *name = "plan";
    Text text = text_create(arena);
    bool done = codegen_cpu(&plan, &name, 1, target, &report, &side->program, diags);
    if (done) side->code = codegen_cuda(&plan, &name, 1, target, NULL, diags);
    diags_render(diags, &text);
    if (!side->code) BUG("%s", text_string(&text));
    side->emulated = emulated_code_create(arena, side->code, edit, why);
    size_t bytes[2] = {[MEMORY_STATE] = side->program->state_bytes, [MEMORY_ARENA] = side->program->arena_bytes};
    for (int m = 0; m < 2; m++) {
        side->cpu[m] = memory_allocate(bytes[m] + 64);
        side->gpu[m] = memory_allocate(bytes[m] + 64);
        memset(side->cpu[m], 0xff, bytes[m]);
        memset(side->gpu[m], 0xff, bytes[m]);
    }
    if (side->emulated) return side;
    side_free(side);
    return NULL;
}

void side_free(SideBySide *side) {
    if (!side) return;
    emulated_code_free(side->emulated);
    cuda_code_free(side->code);
    program_free(side->program);
    for (int m = 0; m < 2; m++) memory_release(side->cpu[m]), memory_release(side->gpu[m]);
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
        if (slot->element != ELEMENT_F32) continue;
        for (size_t k = 0; k < count; k++) {
            values[k] = slot->kind == SLOT_INPUT ? 1e-3f : (float)slot->init_value;
            if (slot->kind == SLOT_STATE && slot->is_param)
                values[k] =
                    slot->init == 0 ? 3 * (float)slot->init_value * normal(&random) : 1 + 0.1f * normal(&random);
        }
    }
}

static void copy_leaves(const SideBySide *side) {
    for (uint32_t i = 0; i < side->program->slot_count; i++) {
        const ProgramSlot *slot = &side->program->slots[i];
        if (slot->kind == SLOT_OUTPUT || (slot->kind == SLOT_STATE && side->has_run)) continue;
        memcpy(side->gpu[slot->buffer.memory] + slot->buffer.offset, side_data(side, slot), slot->bytes);
    }
}

// ---- comparing

// Elements outside of the value's band need not be there.
static bool is_wanted(const Plan *plan, const Value *value, int64_t element) {
    if (!value->band.is_set) return true;
    int64_t row = 0, column = 0;
    for (int i = value->layout.count - 1; i >= 0; i--) {
        const LayoutPiece *piece = &value->layout.pieces[i];
        CHECK(piece->divisor == 1 && piece->dims.rank == 1);
        if (piece->dims.dims[0] == value->band.row) row = element % piece->extent;
        if (piece->dims.dims[0] == value->band.column) column = element % piece->extent;
        element /= piece->extent;
    }
    (void)plan;
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

// Within `tolerance` of the value's largest element; 0: the same bits.
static const char *compare_value(const SideBySide *side, ValueId id, double tolerance) {
    const Value *value = &side->plan->values[id];
    ProgramMemory memory = value->space == SPACE_STATE ? MEMORY_STATE : MEMORY_ARENA;
    const char *a = side->cpu[memory] + value->offset, *b = side->gpu[memory] + value->offset;
    size_t size = dtype_bytes(value->dtype);
    int64_t count = layout_elements(&value->layout) * (value->parts > 1 ? value->parts : 1);
    if (memcmp(a, b, (size_t)count * size) == 0) return NULL;
    double allowed = tolerance > 0 ? tolerance * largest_of(side, value, a, count) : 0;
    for (int64_t i = 0; i < count; i++) {
        const char *x = a + (size_t)i * size, *y = b + (size_t)i * size;
        bool same = value->dtype == DTYPE_F32 ? same_float(x, y) : memcmp(x, y, size) == 0;
        if (same || !is_wanted(side->plan, value, i)) continue;
        float cpu = 0, gpu = 0;
        memcpy(&cpu, x, size);
        memcpy(&gpu, y, size);
        if (fabs((double)cpu - (double)gpu) <= allowed) continue;
        return arena_format(side->arena, "value %u (%s), element %lld of %lld: the CPU has %.9g, the emulation %.9g",
                            id, value->name ? value->name : "temporary", (long long)i, (long long)count, (double)cpu,
                            (double)gpu);
    }
    return NULL;
}

// ---- running

static void run_cpu_step(const SideBySide *side, const ProgramStep *step) {
    void **buffers = ARENA_ARRAY(side->arena, void *, step->buffer_count + 1);
    for (uint32_t i = 0; i < step->buffer_count; i++)
        buffers[i] = side->cpu[step->buffers[i].memory] + step->buffers[i].offset;
    for (int64_t piece = 0; piece < step->pieces; piece++) step->function(buffers, piece, step->context);
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
    if (side->rounds) return step->tensor.kind == TENSOR_TF32 ? 4e-3 : 1.6e-2;
    for (NodeId id = 0; id < graph_nodes(step->region); id++)
        if (graph_node(step->region, id)->op == OP_CONTRACT &&
            !lie_in_order(side, step, graph_node(step->region, id)->attr.set))
            return 1e-5;
    return 0;
}

// So that the steps behind it, on both sides, begin with the same bits.
static void take_over(const SideBySide *side, const Step *step) {
    for (uint32_t k = 0; k < step->output_count; k++) {
        const Value *value = &side->plan->values[step->outputs[k]];
        ProgramMemory memory = value->space == SPACE_STATE ? MEMORY_STATE : MEMORY_ARENA;
        memcpy(side->cpu[memory] + value->offset, side->gpu[memory] + value->offset, value->bytes);
    }
}

const char *side_run(SideBySide *side, uint64_t seed) {
    copy_leaves(side);
    side->has_run = true;
    const CudaProgram *program = &side->code->programs[0];
    for (uint32_t s = 0; s < side->program->step_count; s++) {
        const Step *step = &side->plan->steps[s];
        run_cpu_step(side, &side->program->steps[s]);
        EmulatedRun run = {side->gpu[MEMORY_STATE], side->gpu[MEMORY_ARENA], side->rounds, seed * 4099 + s};
        const char *wrong = emulated_launch(side->emulated, side->arena, &program->launches[s], &run);
        double tolerance = tolerance_of(side, step);
        for (uint32_t k = 0; k < step->output_count && !wrong; k++)
            wrong = compare_value(side, step->outputs[k], tolerance);
        if (tolerance > 0) take_over(side, step);
        side->tensor_steps += step->tensor.kind != TENSOR_NONE;
        if (wrong)
            return arena_format(side->arena, "step %u (%s), kernel %s: %s", s, program->launches[s].label,
                                side->code->kernels[program->launches[s].kernel].name, wrong);
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
    for (uint32_t s = 0; s < side->program->step_count; s++) run_cpu_step(side, &side->program->steps[s]);
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
