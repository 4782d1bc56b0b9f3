// How long a worker is busy with one unit of what is dealt out, when it has its part of a multiprocessor for itself:
//
//     rows T 64 step 16          dealt out: a unit
//       loop C 128               128 rounds, each of which waits for its loads
//         load, load, ..
//
// Rounds of short bodies are under way together, as compilers may unroll them. By published figures of H100: what a
// load from the cache of all takes, and an instruction a cycle.
#include "codegen/cuda/cuda.h"

static const double cycle_seconds = 1 / 1.7e9, load_cycles = 270;
enum { LANES = TILE_LANES, SHORT_BODY = 128, ROUNDS_AT_ONCE = 4 };

typedef struct {
    const TileProgram *program;
    const Spread *spread;
    const uint32_t *ends;
    const uint8_t *shapes;
} Estimate;

// Registers of each thread that a value has in the open tile.
static double parts_of(uint8_t shape, double rows, double vectors) {
    return (shape & SHAPE_ROWS ? rows : 1) * (shape & SHAPE_LANES ? vectors : 1);
}

bool rounds_go_together(const TileProgram *program, const uint8_t *shapes, uint32_t begin, uint32_t end, double rows,
                        double vectors) {
    double instructions = 0;
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = &program->ops[i];
        if (op->kind == TILE_LOOP) return false;
        instructions += op_instructions(op) * parts_of(shapes[i], rows, vectors);
    }
    return instructions < SHORT_BODY;
}

static double cycles_of(const Estimate *estimate, uint32_t begin, uint32_t end, double rows, double vectors) {
    double instructions = 0, inside = 0;
    bool loads = false;
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = &estimate->program->ops[i];
        if (op->kind != TILE_LOOP) {
            instructions += op_instructions(op) * parts_of(estimate->shapes[i], rows, vectors);
            loads |= op->kind == TILE_LOAD || op->kind == TILE_SCATTER_ADD;
            continue;
        }
        double tile = (double)loop_tile(op), body_rows = op->loop == LOOP_ROWS ? tile : rows;
        double body_vectors = op->loop == LOOP_LANES ? (tile + LANES - 1) / LANES : vectors;
        double rounds = estimate->spread->dealt && estimate->spread->dealt[i] ? 1 : (double)loop_rounds(op);
        inside += rounds * cycles_of(estimate, i + 1, estimate->ends[i], body_rows, body_vectors);
        i = estimate->ends[i];
    }
    bool is_short = rounds_go_together(estimate->program, estimate->shapes, begin, end, rows, vectors);
    return inside + instructions + (loads ? load_cycles / (is_short ? ROUNDS_AT_ONCE : 1) : 0);
}

double unit_seconds(const TileProgram *program, const Spread *spread, Arena *scratch) {
    if (spread->kind == SPREAD_TENSOR || spread->kind == SPREAD_PIECES) return 0;
    Estimate estimate = {program, spread, tile_ends(program, scratch), tile_shapes(program, scratch)};
    return cycle_seconds * cycles_of(&estimate, 0, program->op_count, 1, 1);
}
