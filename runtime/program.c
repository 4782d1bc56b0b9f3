// Looking into a Program and letting it go.
#include "runtime/program.h"

#include <string.h>

const ProgramSlot *program_slot(const Program *program, SlotKind kind, const char *name) {
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const ProgramSlot *slot = &program->slots[i];
        if (slot->kind == kind && strcmp(slot->name, name) == 0) return slot;
    }
    return NULL;
}

// `release` counts the programs that share the owner and frees it with the last of them.
void program_free(Program *program) {
    if (program && program->release) program->release(program->owner);
}
