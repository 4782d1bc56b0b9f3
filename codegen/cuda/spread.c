// Which loops' rounds are dealt out to workers, and which memory the threads of a worker share.
//
// In: a tile program, and which buffers may overlap. Out, for a program that is cut in no pieces, the outermost loops
// of each nest that no sum goes through and whose rounds write different elements:
//
//     loop H 4                       dealt
//       rows T 64 step 8             dealt
//         lanes S 64 step 32         dealt: 4*8*2 = 64 workers have something to do
//           %7 = zero rows*lanes
//           loop D 32                by the worker
//
// Several loops in the body of one that is dealt out are each a nest of their own, with the outer one's rounds:
//
//     loop H 4 { rows T { A } rows T { B } }   as   loop H 4 { rows T { A } } loop H 4 { rows T { B } }
//
// A program that reads again what it has written, or that sums at its top, has rounds that depend on each other.
#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

typedef struct {
    const TileProgram *program;
    const bool *aliased;
    const uint32_t *ends;
    bool *dealt;
} Spreading;

static bool reads(const TileOp *op) {
    return op->kind == TILE_LOAD || op->kind == TILE_SCATTER_ADD;
}

static bool writes(const TileOp *op) {
    return op->kind == TILE_STORE || op->kind == TILE_SCATTER_ADD;
}

static bool is_pure(const TileOp *op) {
    switch (op->kind) {
    case TILE_CONST:
    case TILE_INDEX:
    case TILE_LOAD:
    case TILE_TABLE:
    case TILE_MAP:
    case TILE_RANDOM:
    case TILE_PREFETCH:
    case TILE_END: return true;
    default: return false;
    }
}

int64_t loop_tile(const TileOp *loop) {
    if (loop->loop == LOOP_LANES) return loop->step;
    if (loop->loop != LOOP_ROWS) return 1;
    int64_t pieces = loop->pieces ? loop->pieces : 1, rows = (loop->extent + pieces - 1) / pieces;
    if (!loop->split_evenly) return rows < loop->step ? rows : loop->step;
    int64_t tiles = (rows + loop->step - 1) / loop->step;
    return (rows + tiles - 1) / tiles;
}

int64_t loop_rounds(const TileOp *loop) {
    int64_t tile = loop_tile(loop);
    if (loop->loop == LOOP_PIECE) return loop->extent / loop->pieces;
    return (loop->extent + tile - 1) / tile;
}

bool loop_is_piece(const TileOp *loop) {
    return loop->loop == LOOP_PIECE && loop->extent == loop->pieces;
}

// ---- what may be dealt out

static int64_t coefficient_of(const TileIndex *index, TileValue value) {
    for (int i = 0; i < index->count; i++)
        if (index->terms[i].value == value) return index->terms[i].coefficient;
    return 0;
}

// A store that writes over memory, and a load of such memory: operations of the program.
typedef struct {
    uint32_t store, load;
} Pair;

// The first one from `pair` on.
static bool find_pair(const Spreading *spreading, Pair *pair) {
    const TileProgram *program = spreading->program;
    for (; pair->store < program->op_count; pair->store++, pair->load = 0) {
        const TileOp *store = &program->ops[pair->store];
        if (!writes(store) || !spreading->aliased[store->buffer]) continue;
        for (; pair->load < program->op_count; pair->load++) {
            const TileOp *load = &program->ops[pair->load];
            if (reads(load) && spreading->aliased[load->buffer]) return true;
        }
    }
    return false;
}

// Where memory is written over what is read, both have to belong to the same round.
static bool keeps_to_itself(const Spreading *spreading, uint32_t loop) {
    const TileOp *ops = spreading->program->ops;
    for (Pair pair = {0}; find_pair(spreading, &pair); pair.load++)
        if (coefficient_of(&ops[pair.load].index, loop) != coefficient_of(&ops[pair.store].index, loop)) return false;
    return true;
}

static bool can_deal(const Spreading *spreading, uint32_t loop) {
    const TileOp *op = &spreading->program->ops[loop];
    bool is_part = op->pieces > 1 && (op->loop != LOOP_PIECE || op->extent % op->pieces != 0);
    return !op->bounded && op->loop != LOOP_GUARD && !is_part && keeps_to_itself(spreading, loop);
}

static bool writes_over(const Spreading *spreading) {
    Pair pair = {0};
    return find_pair(spreading, &pair);
}

// How many loops stand in the body of one where all else only computes and they can be dealt out, each in a nest of its
// own; several, only where nobody writes over what another one reads. 0: none.
static uint32_t nests_inside(const Spreading *spreading, uint32_t loop) {
    uint32_t found = 0;
    bool can = true;
    for (uint32_t i = loop + 1; i < spreading->ends[loop]; i++) {
        const TileOp *op = &spreading->program->ops[i];
        if (op->kind != TILE_LOOP && !is_pure(op)) return 0;
        if (op->kind != TILE_LOOP) continue;
        found++;
        can &= can_deal(spreading, i);
        i = spreading->ends[i];
    }
    return can && (found <= 1 || !writes_over(spreading)) ? found : 0;
}

// Outermost loops hold no accumulator from outside.
static int64_t deal_nest(Spreading *spreading, uint32_t loop) {
    int64_t inside = 1;
    if (!can_deal(spreading, loop)) return 1;
    spreading->dealt[loop] = true;
    if (nests_inside(spreading, loop) > 0)
        for (uint32_t i = loop + 1; i < spreading->ends[loop]; i++) {
            if (spreading->program->ops[i].kind != TILE_LOOP) continue;
            int64_t units = deal_nest(spreading, i);
            if (units > inside) inside = units;
            i = spreading->ends[i];
        }
    return loop_rounds(&spreading->program->ops[loop]) * inside;
}

// ---- what forbids it

static uint32_t pieces_of(const TileProgram *program) {
    uint32_t pieces = 1;
    for (uint32_t i = 0; i < program->op_count; i++)
        if (program->ops[i].kind == TILE_LOOP && program->ops[i].pieces > pieces) pieces = program->ops[i].pieces;
    return pieces;
}

static bool *buffers_read_again(const TileProgram *program, Arena *arena) {
    bool *again = ARENA_ARRAY(arena, bool, program->buffer_count + 1);
    for (uint32_t i = 0; i < program->op_count; i++)
        if (reads(&program->ops[i])) again[program->ops[i].buffer] |= program->buffers[program->ops[i].buffer].written;
    return again;
}

// Sums or writes outside of all loops, reads again what it wrote, or writes in one nest over what another one reads.
static bool is_one_piece(const Spreading *spreading, const bool *again) {
    const TileProgram *program = spreading->program;
    bool overlaps = false;
    uint32_t nests = 0;
    for (uint32_t i = 0; i < program->op_count; i++) {
        const TileOp *op = &program->ops[i];
        if (op->kind == TILE_LOOP) {
            nests++;
            i = spreading->ends[i];
        } else if (!is_pure(op)) {
            return true;
        }
    }
    for (uint32_t b = 0; b < program->buffer_count; b++) {
        if (again[b]) return true;
        overlaps |= spreading->aliased[b];
    }
    return overlaps && nests > 1;
}

// ---- what threads share

// A lanes loop deals its elements out to threads by their number modulo 16.
static bool is_lanes_term(const TileProgram *program, TileValue value) {
    const TileOp *op = &program->ops[value];
    return op->kind == TILE_LOOP && op->loop == LOOP_LANES && op->pieces <= 1;
}

// Whether every thread loads of the buffer what it stores, and nothing else: two addresses that move alike, with lanes.
static bool is_by_lanes(const TileProgram *program, const TileIndex *load, const TileIndex *store) {
    if (load->constant != store->constant || load->count != store->count) return false;
    int64_t load_lanes = 0, store_lanes = 0;
    for (int i = 0; i < load->count; i++) {
        if (is_lanes_term(program, load->terms[i].value)) load_lanes += load->terms[i].coefficient;
        else if (coefficient_of(store, load->terms[i].value) != load->terms[i].coefficient) return false;
        if (is_lanes_term(program, store->terms[i].value)) store_lanes += store->terms[i].coefficient;
    }
    return load_lanes != 0 && load_lanes == store_lanes;
}

static const bool *buffers_written_over(const Spreading *spreading, const bool *again, Arena *arena) {
    const TileProgram *program = spreading->program;
    bool *over = ARENA_ARRAY(arena, bool, program->buffer_count + 1);
    for (uint32_t b = 0; b < program->buffer_count; b++) over[b] = again[b];
    for (Pair pair = {0}; find_pair(spreading, &pair); pair.load++) {
        const TileOp *store = &program->ops[pair.store], *load = &program->ops[pair.load];
        if (!is_by_lanes(program, &load->index, &store->index)) over[store->buffer] = true;
    }
    return over;
}

// Each element of a tile is read and written by one thread; what is multiplied every block reads.
static Spread spread_of_tiles(const TileProgram *program, const bool *aliased, Arena *arena) {
    const bool *none = ARENA_ARRAY(arena, bool, program->buffer_count + 1);
    for (uint32_t i = 0; i < program->op_count; i++) {
        const TileOp *op = &program->ops[i];
        if (op->kind != TILE_MULTIPLY_ACCUMULATE) continue;
        for (int k = 1; k < 3; k++)
            if (aliased[program->ops[op->operands[k]].buffer]) BUG("%s writes over its factors", program->name);
    }
    return (Spread){.kind = SPREAD_TENSOR, .units = tensor_blocks(program), .again = none, .over = none};
}

static bool keeps_buffers_apart(const TileProgram *program, const bool *aliased, const bool *again) {
    for (uint32_t b = 0; b < program->buffer_count; b++)
        if (aliased[b] || again[b]) return false;
    return true;
}

// Pieces that are parts of a sum have nests that workers can share; others are a worker's each.
static Spread spread_of_pieces(Spread spread, const TileProgram *program, const bool *aliased, Arena *arena) {
    spread.kind = SPREAD_PIECES;
    spread.units = spread.pieces;
    if (!keeps_buffers_apart(program, aliased, spread.again)) return spread;
    Spread within = spread_of_piece(program, aliased, arena);
    if (within.kind != SPREAD_LOOPS || within.units == 1) return spread;
    spread.kind = SPREAD_SHARED;
    spread.dealt = within.dealt;
    spread.units = within.units * spread.pieces;
    return spread;
}

Spread spread_of(const TileProgram *program, const bool *aliased, Arena *arena) {
    Spreading spreading = {.program = program,
                           .aliased = aliased,
                           .ends = tile_ends(program, arena),
                           .dealt = ARENA_ARRAY(arena, bool, program->op_count + 1)};
    if (program->tensor.kind != TENSOR_NONE) return spread_of_tiles(program, aliased, arena);
    const bool *again = buffers_read_again(program, arena);
    Spread spread = {.kind = SPREAD_LOOPS, .pieces = pieces_of(program), .dealt = spreading.dealt, .units = 1};
    spread.again = again;
    spread.over = buffers_written_over(&spreading, again, arena);
    if (spread.pieces > 1) return spread_of_pieces(spread, program, aliased, arena);
    if (is_one_piece(&spreading, again)) {
        spread.kind = SPREAD_NOT;
        return spread;
    }
    for (uint32_t i = 0; i < program->op_count; i++) {
        if (program->ops[i].kind != TILE_LOOP) continue;
        int64_t units = deal_nest(&spreading, i);
        if (units > spread.units) spread.units = units;
        if (!spreading.dealt[i]) spread.kind = SPREAD_NOT;
        i = spreading.ends[i];
    }
    if (spread.kind == SPREAD_NOT) spread.units = 1;
    return spread;
}

// ---- one piece, by the workers of a block

// Whether every element of the buffer that the program reads again is read where it is written, in one round of all
// loops, as that of a sum that goes on: then each worker has its own.
static bool is_read_in_place(const TileProgram *program, uint32_t buffer) {
    const TileOp *first = NULL;
    for (uint32_t i = 0; i < program->op_count; i++) {
        const TileOp *op = &program->ops[i];
        if ((!reads(op) && !writes(op)) || op->buffer != (int)buffer) continue;
        if (op->kind == TILE_SCATTER_ADD || (first && !tile_index_equal(&first->index, &op->index))) return false;
        first = op;
    }
    return true;
}

static bool has_lanes(const TileProgram *program, uint32_t buffer) {
    for (uint32_t i = 0; i < program->op_count; i++) {
        const TileOp *op = &program->ops[i];
        if (!writes(op) || op->buffer != (int)buffer) continue;
        bool found = false;
        for (int k = 0; k < op->index.count; k++) found |= is_lanes_term(program, op->index.terms[k].value);
        if (!found) return false;
    }
    return true;
}

// All nests between two operations; false when something stands there that cannot be dealt out.
static bool deal_all(Spreading *spreading, uint32_t begin, uint32_t end, int64_t *units, uint32_t *nests) {
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = &spreading->program->ops[i];
        if (op->kind != TILE_LOOP) {
            if (!is_pure(op)) return false;
            continue;
        }
        if (loop_is_piece(op)) {
            if (!deal_all(spreading, i + 1, spreading->ends[i], units, nests)) return false;
        } else {
            int64_t dealt = deal_nest(spreading, i);
            if (!spreading->dealt[i]) return false;
            if (*units < dealt) *units = dealt;
            ++*nests;
        }
        i = spreading->ends[i];
    }
    return true;
}

Spread spread_of_piece(const TileProgram *program, const bool *aliased, Arena *arena) {
    bool *meets = ARENA_ARRAY(arena, bool, program->buffer_count + 1), overlaps = false, is_whole = true;
    bool *again = buffers_read_again(program, arena);
    for (uint32_t b = 0; b < program->buffer_count; b++) {
        meets[b] = aliased[b] || again[b];
        overlaps |= meets[b];
        is_whole &= !again[b] || is_read_in_place(program, b);
        again[b] &= !is_whole || !has_lanes(program, b);
    }
    Spreading spreading = {.program = program,
                           .aliased = meets,
                           .ends = tile_ends(program, arena),
                           .dealt = ARENA_ARRAY(arena, bool, program->op_count + 1)};
    Spread spread = {.kind = SPREAD_LOOPS, .pieces = 1, .dealt = spreading.dealt, .units = 1, .again = again};
    uint32_t nests = 0;
    bool is_dealt = is_whole && deal_all(&spreading, 0, program->op_count, &spread.units, &nests);
    if (!is_dealt || (overlaps && nests > 1)) {
        spread.kind = SPREAD_NOT;
        spread.units = 1;
        spread.again = buffers_read_again(program, arena);
    }
    spreading.aliased = aliased;
    spread.over = buffers_written_over(&spreading, spread.again, arena);
    return spread;
}
