// The rules of a tile program: loops nest and close, values are defined in an open scope before use, shapes and types
// fit, and every access provably lies inside its buffer or table (by interval arithmetic over loop extents).
#include "codegen/lower.h"

enum { MAX_DEPTH = 64 };

typedef struct {
    const TileProgram *program;
    Arena *arena;
    TileRange *ranges;
    uint32_t *scope; // loop in whose body an op stands; a loop stands in itself
    bool *open;
    TileValue loops[MAX_DEPTH];
    int depth;
} Verifier;

static const char *complain(const Verifier *verifier, uint32_t at, const char *sentence) {
    return arena_format(verifier->arena, "op %u of %s: %s", at, verifier->program->name, sentence);
}

static bool defined(const Verifier *verifier, TileValue value, uint32_t at) {
    if (value >= at) return false;
    TileKind kind = verifier->program->ops[value].kind;
    if (kind == TILE_STORE || kind == TILE_END || kind == TILE_ACCUMULATE || kind == TILE_MULTIPLY_ACCUMULATE ||
        kind == TILE_SCATTER_ADD || kind == TILE_PREFETCH)
        return false;
    uint32_t scope = verifier->scope[value];
    return scope == TILE_NONE || verifier->open[scope];
}

static uint8_t open_shape(const Verifier *verifier) {
    uint8_t shape = 0;
    for (int i = 0; i < verifier->depth; i++) {
        LoopKind loop = verifier->program->ops[verifier->loops[i]].loop;
        if (loop == LOOP_ROWS) shape |= SHAPE_ROWS;
        if (loop == LOOP_LANES) shape |= SHAPE_LANES;
    }
    return shape;
}

static const char *check_loop(const Verifier *verifier, const TileOp *op, uint32_t at) {
    if (verifier->depth == MAX_DEPTH) return complain(verifier, at, "loops nest too deep");
    if (op->extent < 1) return complain(verifier, at, "a loop has no rounds");
    if (!op->name) return complain(verifier, at, "a loop has no name");
    uint8_t open = open_shape(verifier);
    if (op->loop == LOOP_LANES && (op->step == 0 || op->step % TILE_LANES))
        return complain(verifier, at, "a lanes loop steps by a multiple of 16");
    if (op->loop == LOOP_LANES && (open & SHAPE_LANES)) return complain(verifier, at, "a lanes loop in a lanes loop");
    if (op->loop == LOOP_ROWS && op->step == 0) return complain(verifier, at, "a rows loop without a step");
    if (op->loop == LOOP_ROWS && (open & SHAPE_ROWS)) return complain(verifier, at, "a rows loop in a rows loop");
    if (op->loop == LOOP_PIECE && op->pieces == 0) return complain(verifier, at, "a piece loop without pieces");
    if (op->bounded && op->loop != LOOP_PLAIN && (op->loop != LOOP_LANES || op->extent % op->step != 0 || op->pieces))
        return complain(verifier, at, "bounds a loop that is neither plain nor of whole steps of lanes");
    if (op->loop == LOOP_GUARD && op->operand_count != 1) return complain(verifier, at, "a guard needs one value");
    return NULL;
}

static const char *check_index(const Verifier *verifier, const TileOp *op, uint32_t at) {
    for (int i = 0; i < op->index.count; i++) {
        TileValue value = op->index.terms[i].value;
        if (!defined(verifier, value, at)) return complain(verifier, at, "an index uses a value that is not in sight");
        if (verifier->program->ops[value].dtype != DTYPE_I32) return complain(verifier, at, "an index term is not i32");
    }
    return NULL;
}

static const char *check_bounds(const Verifier *verifier, const TileOp *op, uint32_t at) {
    int64_t elements;
    if (op->kind == TILE_TABLE) {
        elements = op->table_count;
    } else {
        if (op->buffer < 0 || (uint32_t)op->buffer >= verifier->program->buffer_count)
            return complain(verifier, at, "no such buffer");
        elements = verifier->program->buffers[op->buffer].elements;
        bool writes = op->kind != TILE_LOAD;
        if (writes && !verifier->program->buffers[op->buffer].written)
            return complain(verifier, at, "writes a buffer that is only read");
    }
    TileRange range = tile_index_range(&op->index, verifier->ranges);
    if (range.low >= 0 && range.high < elements) return NULL;
    return arena_format(verifier->arena, "op %u of %s: reaches elements %lld to %lld of %lld", at,
                        verifier->program->name, (long long)range.low, (long long)range.high, (long long)elements);
}

static bool is_accumulator(const Verifier *verifier, TileValue value) {
    return verifier->program->ops[value].kind == TILE_ZERO;
}

static const char *check_accumulation(const Verifier *verifier, const TileOp *op, uint32_t at) {
    int wanted = op->kind == TILE_ROW_REDUCE ? 1 : op->kind == TILE_ACCUMULATE ? 2 : 3;
    if (op->operand_count != wanted) return complain(verifier, at, "wrong number of operands");
    if (!is_accumulator(verifier, op->operands[0]))
        return complain(verifier, at, "its first operand is no accumulator");
    for (int i = 0; i < wanted; i++)
        if (verifier->program->ops[op->operands[i]].dtype != DTYPE_F32)
            return complain(verifier, at, "accumulation is in f32");
    bool function = op->kind != TILE_MULTIPLY_ACCUMULATE;
    if (function && op->function != OP_SUM && op->function != OP_MAX)
        return complain(verifier, at, "accumulates neither sum nor max");
    uint8_t accumulator = verifier->program->ops[op->operands[0]].shape;
    if (op->kind == TILE_MULTIPLY_ACCUMULATE) {
        uint8_t a = verifier->program->ops[op->operands[1]].shape, b = verifier->program->ops[op->operands[2]].shape;
        if (accumulator != (SHAPE_ROWS | SHAPE_LANES) || (a & SHAPE_LANES) || (b & SHAPE_ROWS))
            return complain(verifier, at, "wants rows times lanes into a register tile");
    }
    return NULL;
}

static const char *check_map(const Verifier *verifier, const TileOp *op, uint32_t at) {
    int wanted = op->function < OP_COUNT ? op_operands((Op)op->function) : 2;
    if (op->function < OP_COUNT && op_class((Op)op->function) != CLASS_POINTWISE)
        return complain(verifier, at, "maps an op that is not pointwise");
    if (op->operand_count != wanted) return complain(verifier, at, "wrong number of operands");
    const TileOp *ops = verifier->program->ops;
    DType first = ops[op->operands[0]].dtype;
    if (op->function == TILE_DIVIDE || op->function == TILE_REMAINDER) {
        const TileOp *by = &ops[op->operands[1]];
        if (by->kind != TILE_CONST || by->number < 1) return complain(verifier, at, "divides by no positive constant");
        if (verifier->ranges[op->operands[0]].low < 0) return complain(verifier, at, "divides what can be negative");
    }
    if (op->function == OP_WHERE) {
        if (first != DTYPE_BOOL) return complain(verifier, at, "the condition of where is not bool");
        if (ops[op->operands[1]].dtype != op->dtype || ops[op->operands[2]].dtype != op->dtype)
            return complain(verifier, at, "the arms of where have other types");
        return NULL;
    }
    if (wanted == 2 && ops[op->operands[1]].dtype != first) return complain(verifier, at, "operands of two types");
    bool compares = op->function == OP_LT || op->function == OP_LE || op->function == OP_EQ;
    if (compares ? op->dtype != DTYPE_BOOL : op->function != OP_TO_FLOAT && op->dtype != first)
        return complain(verifier, at, "a result of the wrong type");
    return NULL;
}

static const char *check_random(const Verifier *verifier, const TileOp *op, uint32_t at) {
    if (op->operand_count != 3) return complain(verifier, at, "wants seed, step and micro");
    for (int i = 0; i < 3; i++) {
        const TileOp *operand = &verifier->program->ops[op->operands[i]];
        if (operand->dtype != DTYPE_I32 || operand->shape != SHAPE_UNIFORM)
            return complain(verifier, at, "seed, step and micro are uniform i32");
    }
    return NULL;
}

static const char *check_op(const Verifier *verifier, const TileOp *op, uint32_t at) {
    for (int i = 0; i < op->operand_count; i++)
        if (!defined(verifier, op->operands[i], at)) return complain(verifier, at, "uses a value that is not in sight");
    const char *message = check_index(verifier, op, at);
    if (message) return message;
    if (op->shape & ~open_shape(verifier) && op->kind != TILE_LOOP && op->kind != TILE_ZERO)
        return complain(verifier, at, "has a shape that no open loop gives");
    switch (op->kind) {
    case TILE_LOOP: return check_loop(verifier, op, at);
    case TILE_END: return verifier->depth ? NULL : complain(verifier, at, "ends no loop");
    case TILE_LOAD:
    case TILE_TABLE: return check_bounds(verifier, op, at);
    case TILE_STORE:
    case TILE_SCATTER_ADD:
        if (op->operand_count != 1) return complain(verifier, at, "stores one value");
        return check_bounds(verifier, op, at);
    case TILE_MAP: return check_map(verifier, op, at);
    case TILE_ACCUMULATE:
    case TILE_MULTIPLY_ACCUMULATE:
    case TILE_ROW_REDUCE: return check_accumulation(verifier, op, at);
    case TILE_RANDOM: return check_random(verifier, op, at);
    default: return NULL;
    }
}

static void enter_op(Verifier *verifier, const TileOp *op, uint32_t at) {
    if (op->kind == TILE_END) verifier->open[verifier->loops[--verifier->depth]] = false;
    verifier->scope[at] = verifier->depth ? verifier->loops[verifier->depth - 1] : TILE_NONE;
    verifier->ranges[at] = tile_op_range(op, verifier->ranges);
    if (op->kind != TILE_LOOP) return;
    verifier->loops[verifier->depth++] = at;
    verifier->scope[at] = at;
    verifier->open[at] = true;
}

const char *tile_verify(const TileProgram *program, Arena *arena) {
    Verifier verifier = {.program = program, .arena = arena};
    size_t count = program->op_count + 1;
    verifier.ranges = ARENA_ARRAY(arena, TileRange, count);
    verifier.scope = ARENA_ARRAY(arena, uint32_t, count);
    verifier.open = ARENA_ARRAY(arena, bool, count);
    for (uint32_t i = 0; i < program->op_count; i++) {
        const char *message = check_op(&verifier, &program->ops[i], i);
        if (message) return message;
        enter_op(&verifier, &program->ops[i], i);
    }
    return verifier.depth ? complain(&verifier, verifier.loops[verifier.depth - 1], "is never ended") : NULL;
}
