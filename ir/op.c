// Reading the op table: what ops.def says of each primitive.
#include <string.h>

#include "ir/graph.h"

// The class column of ops.def, spelled as an enumerator.
#define OP(ENUM, name_, class_, operands_, meaning_) {#name_, CLASS_##class_, operands_, meaning_},
static const struct {
    const char *name;
    OpClass class;
    int operands;
    const char *meaning;
} ops[OP_COUNT] = {
#include "ir/ops.def"
};
#undef OP

const char *op_name(Op op) {
    return ops[op].name;
}

bool op_from_name(const char *name, Op *op) {
    for (int i = 0; i < OP_COUNT; i++) {
        if (strcmp(name, ops[i].name) == 0) {
            *op = (Op)i;
            return true;
        }
    }
    return false;
}

OpClass op_class(Op op) {
    return ops[op].class;
}

int op_operands(Op op) {
    return ops[op].operands;
}

const char *op_meaning(Op op) {
    return ops[op].meaning;
}

bool op_commutes(Op op) {
    switch (op) {
    case OP_ADD:
    case OP_MUL:
    case OP_MAXIMUM:
    case OP_MINIMUM:
    case OP_EQ:
    case OP_AND:
    case OP_OR:
    case OP_CONTRACT: return true;
    default: return false;
    }
}

bool op_is_view(Op op) {
    return op == OP_RENAME || op == OP_PREFIX || op == OP_SELECT || op == OP_SPLIT || op == OP_MERGE;
}
