// The door of lowering: a step of a plan in, its tile program out; dispatch by form, never by label.
//
// Buffers are the step's operands, then its outputs. Each form walks the piece's rows first, so that one program serves
// every piece and every thread count.
#include "base/diag.h"
#include "codegen/lower.h"

#include "base/hash.h"

static int64_t buffer_elements(const Value *value) {
    int64_t elements = layout_elements(&value->layout) * (value->parts > 1 ? value->parts : 1);
    return elements > 0 ? elements : 1;
}

static void declare_buffers(Lowering *lowering) {
    const Step *step = lowering->step;
    for (uint32_t i = 0; i < step->operand_count; i++) {
        const Value *value = &lowering->plan->values[step->operands[i]];
        tile_buffer(lowering->builder, value->dtype, buffer_elements(value), false);
    }
    for (uint32_t i = 0; i < step->output_count; i++) {
        const Value *value = lower_output(lowering, i);
        tile_buffer(lowering->builder, value->dtype, buffer_elements(value), true);
    }
}

static void lower_form(Lowering *lowering, const TensorTile *tensor) {
    if (tensor->kind != TENSOR_NONE) {
        lower_tensor(lowering);
        return;
    }
    if (scattering_of(lowering->region).scatter != NODE_NONE) {
        lower_scatter(lowering);
        return;
    }
    switch (lowering->step->form) {
    case FORM_MAP: lower_map(lowering); return;
    case FORM_ROW: lower_row(lowering); return;
    case FORM_PRODUCT: lower_product(lowering); return;
    case FORM_SWEEP: BUG("a sweep has a program for its tiles, and others (lower_sweep.c)");
    }
}

// ---- names: equal programs get equal names, and are one kernel

static void append_identifier(Text *text, const char *label) {
    for (const char *c = label; c && *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        text_append(text, "%c", plain ? *c : '_');
    }
}

static unsigned long long program_hash(const TileProgram *program, Arena *arena) {
    Text text = text_create(arena);
    tile_print(program, &text);
    for (uint32_t i = 0; i < program->op_count; i++) {
        const TileOp *op = &program->ops[i];
        if (op->kind == TILE_TABLE)
            text_append_bytes(&text, (const char *)op->table, sizeof *op->table * (size_t)op->table_count);
    }
    return hash_bytes(text.data, text.length);
}

static const char *program_name(const TileProgram *program, Arena *arena) {
    return arena_format(arena, "%s_%016llx", program->name, program_hash(program, arena));
}

Lowering *lowering_begin(Arena *arena, const Plan *plan, const Step *step, const Target *target) {
    Text stem = text_create(arena);
    text_append(&stem, "%s_", form_name(step->form));
    append_identifier(&stem, step->label);
    Lowering *lowering = ARENA_NEW(arena, Lowering);
    lowering->arena = arena;
    lowering->plan = plan;
    lowering->step = step;
    lowering->region = step->region;
    lowering->target = target;
    lowering->live = graph_live(step->region, arena);
    lowering->continues = TILE_NONE;
    lowering->builder = tile_builder(arena, text_string(&stem));
    declare_buffers(lowering);
    lowering->evaluator = evaluator_create(lowering->builder, plan, step);
    return lowering;
}

TileProgram *lowering_end(Lowering *lowering, TensorTile tensor) {
    const Step *step = lowering->step;
    TileProgram *program = tile_finish(lowering->builder);
    program->tensor = tensor;
    for (uint32_t k = 0; k < step->output_count; k++)
        program->buffers[step->operand_count + k].far = !lowering->revisits && lower_is_far(lowering, k);
    program->name = program_name(program, lowering->arena);
    return program;
}

static TileProgram *lower_step(Arena *arena, const Plan *plan, const Step *step, const Target *target,
                               TensorTile tensor) {
    Lowering *lowering = lowering_begin(arena, plan, step, target);
    lower_form(lowering, &tensor);
    return lowering_end(lowering, tensor);
}

TileProgram *tile_lower(Arena *arena, const Plan *plan, const Step *step, const Target *target) {
    return lower_step(arena, plan, step, target, (TensorTile){0});
}

TileProgram *tile_lower_tensor(Arena *arena, const Plan *plan, const Step *step, const Target *target) {
    CHECK(step->tensor.kind != TENSOR_NONE);
    return lower_step(arena, plan, step, target, step->tensor);
}
