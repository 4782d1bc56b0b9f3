// What every backend asks of a tile program before it prints it: where loops end, in what shape each operation works,
// and which operations must keep their order.
#include "base/diag.h"
#include "codegen/lower.h"

uint32_t *tile_ends(const TileProgram *program, Arena *arena) {
    uint32_t *ends = ARENA_ARRAY(arena, uint32_t, program->op_count + 1);
    uint32_t *open = ARENA_ARRAY(arena, uint32_t, program->op_count + 1), depth = 0;
    for (uint32_t i = 0; i < program->op_count; i++) {
        if (program->ops[i].kind == TILE_LOOP) open[depth++] = i;
        if (program->ops[i].kind != TILE_END) continue;
        if (depth == 0) BUG("tile program %s closes a loop that is not open", program->name);
        ends[open[--depth]] = i;
    }
    if (depth != 0) BUG("tile program %s leaves a loop open", program->name);
    return ends;
}

static uint8_t index_shape(const TileIndex *index, const uint8_t *shapes) {
    uint8_t shape = SHAPE_UNIFORM;
    for (int i = 0; i < index->count; i++)
        if (index->terms[i].coefficient != 0) shape |= shapes[index->terms[i].value];
    return shape;
}

static uint8_t loop_shape(const TileOp *op) {
    if (op->loop == LOOP_ROWS) return SHAPE_ROWS;
    return op->loop == LOOP_LANES ? SHAPE_LANES : SHAPE_UNIFORM;
}

static uint8_t op_shape(const TileProgram *program, const TileOp *op, const uint8_t *shapes) {
    uint8_t shape = SHAPE_UNIFORM;
    switch (op->kind) {
    case TILE_LOOP: return loop_shape(op);
    case TILE_ZERO: return op->shape;
    case TILE_ROW_REDUCE: {
        uint8_t reduced = program->ops[op->operands[0]].step != 0 ? SHAPE_ROWS : SHAPE_LANES;
        return shapes[op->operands[0]] & (uint8_t)~reduced;
    }
    case TILE_INDEX:
    case TILE_LOAD:
    case TILE_TABLE: return index_shape(&op->index, shapes);
    case TILE_STORE:
    case TILE_SCATTER_ADD:
    case TILE_PREFETCH:
    case TILE_RANDOM: shape = index_shape(&op->index, shapes); break;
    default: break;
    }
    for (int i = 0; i < op->operand_count; i++)
        shape |= shapes[op->operands[i]];
    return shape;
}

uint8_t *tile_shapes(const TileProgram *program, Arena *arena) {
    uint8_t *shapes = ARENA_ARRAY(arena, uint8_t, program->op_count + 1);
    for (uint32_t i = 0; i < program->op_count; i++)
        shapes[i] = op_shape(program, &program->ops[i], shapes);
    return shapes;
}

bool tile_uses(const TileOp *op, TileValue value) {
    for (int i = 0; i < op->operand_count; i++)
        if (op->operands[i] == value) return true;
    return false;
}

bool tile_accumulates(const TileOp *op) {
    return op->kind == TILE_ACCUMULATE || op->kind == TILE_MULTIPLY_ACCUMULATE;
}

bool tile_share_accumulator(const TileOp *before, const TileOp *after) {
    return (tile_accumulates(before) && tile_uses(after, before->operands[0])) ||
           (tile_accumulates(after) && tile_uses(before, after->operands[0]));
}
