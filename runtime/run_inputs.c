// Inputs by name: see run_inputs.h.
#include "runtime/run_inputs.h"

static void *find_input(const Session *session, const Program *program, const char *name, ElementKind element,
                        int64_t count) {
    const ProgramSlot *slot = program_slot(program, SLOT_INPUT, name);
    if (!slot) return NULL;
    CHECK(slot->element == element && slot->is_plain && slot->bytes >= (size_t)count * 4);
    return session_data(session, slot);
}

RunInputs run_inputs_find(const Session *session, const Program *program, int64_t tokens) {
    return (RunInputs){
        .tokens = find_input(session, program, "tok", ELEMENT_I32, tokens),
        .targets = find_input(session, program, "target", ELEMENT_I32, tokens),
        .learning_rate = find_input(session, program, "learning_rate", ELEMENT_F32, 1),
        .step = find_input(session, program, "step", ELEMENT_I32, 1),
        .seed = find_input(session, program, "seed", ELEMENT_I32, 1),
        .micro = find_input(session, program, "micro", ELEMENT_I32, 1),
    };
}

void run_inputs_set(const RunInputs *inputs, RunNumbers numbers) {
    if (inputs->learning_rate) *inputs->learning_rate = (float)numbers.learning_rate;
    if (inputs->step) *inputs->step = (int32_t)numbers.step;
    if (inputs->seed) *inputs->seed = (int32_t)(uint32_t)numbers.seed;
    if (inputs->micro) *inputs->micro = (int32_t)numbers.micro;
}
