// The buffers of a step and the symbol of its kernel: what all backends put into their Programs.
//
//     step 7 row "layernorm" in %1, %2 out %3   ->   buffers %1 %2 %3, "layernorm layer[0].a", row_layernorm_81f3
#include "codegen/link.h"

ValueId step_buffer_value(const Step *step, uint32_t buffer) {
    return buffer < step->operand_count ? step->operands[buffer] : step->outputs[buffer - step->operand_count];
}

const ProgramBuffer *step_buffers(Arena *arena, const Plan *plan, const Step *step, uint32_t *count) {
    *count = step->operand_count + step->output_count;
    ProgramBuffer *buffers = ARENA_ARRAY(arena, ProgramBuffer, *count + 1);
    for (uint32_t i = 0; i < *count; i++)
        buffers[i] = buffer_of_value(&plan->values[step_buffer_value(step, i)]);
    return buffers;
}

static bool share_memory(const Value *a, const Value *b) {
    return a->space == b->space && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

bool *step_aliased(Arena *arena, const Plan *plan, const Step *step) {
    uint32_t count = step->operand_count + step->output_count;
    bool *aliased = ARENA_ARRAY(arena, bool, count + 1);
    for (uint32_t output = step->operand_count; output < count; output++)
        for (uint32_t other = 0; other < count; other++) {
            const Value *a = &plan->values[step_buffer_value(step, output)];
            const Value *b = &plan->values[step_buffer_value(step, other)];
            if (other != output && share_memory(a, b)) aliased[output] = aliased[other] = true;
        }
    return aliased;
}

const char *step_title(Arena *arena, const Step *step) {
    const char *label = step->label ? step->label : form_name(step->form);
    return step->place && step->place[0] ? arena_format(arena, "%s %s", label, step->place) : arena_copy(arena, label);
}

const char *kernel_symbol(Arena *arena, const TileProgram *program, const bool *aliased) {
    Text symbol = text_create(arena);
    text_append(&symbol, "%s", program->name);
    bool any = false;
    for (uint32_t i = 0; i < tile_given(program); i++) {
        if (aliased[i]) text_append(&symbol, any ? "_%u" : "_in_%u", i);
        any |= aliased[i];
    }
    return text_string(&symbol);
}
