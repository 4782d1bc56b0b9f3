// Loops: counts, tile sizes, tails, and the accumulators that they carry.
//
// In: a TILE_LOOP. Out: its body, once per tile size:
//
//     rows 64 step 13 evenly   ->  4 tiles of 13 rows, then 1 of 12
//     lanes 65 step 32         ->  2 full tiles of 2 vectors, then 1 vector with 1 of 16 lanes in use
//     either, cut in pieces    ->  the lengths of pieces differ by at most one, so counts are one of two constants
//
// A tile that occurs once is straight-line code; a known count makes a loop without a test at its head.
#include "base/planted.h"
#include "codegen/cpu/emit.h"

// ---- accumulators that a loop changes

typedef struct {
    TileValue value;
    LLVMValueRef *phis;
} Carried;

typedef struct {
    Carried *items;
    uint32_t count;
} CarriedList;

static CarriedList carried_by(Emitter *emitter, uint32_t loop) {
    uint32_t end = emitter->ends[loop];
    CarriedList list = {.items = ARENA_ARRAY(emitter->arena, Carried, end - loop)};
    for (uint32_t i = loop + 1; i < end; i++) {
        const TileOp *op = emit_op_at(emitter, i);
        if (op->kind != TILE_ACCUMULATE && op->kind != TILE_MULTIPLY_ACCUMULATE) continue;
        TileValue value = op->operands[0];
        bool known = value > loop;
        for (uint32_t k = 0; k < list.count; k++)
            known |= list.items[k].value == value;
        if (!known) list.items[list.count++].value = value;
    }
    return list;
}

static int part_count(const Emitter *emitter, TileValue value) {
    return emitter->cells[value].rows * emitter->cells[value].vectors;
}

// Starts a phi for each part; from here on the phi is the part.
static void open_phis(Emitter *emitter, CarriedList *list, LLVMBasicBlockRef from) {
    for (uint32_t k = 0; k < list->count; k++) {
        Carried *item = &list->items[k];
        LLVMValueRef *parts = emitter->cells[item->value].parts;
        int count = part_count(emitter, item->value);
        item->phis = ARENA_ARRAY(emitter->arena, LLVMValueRef, (size_t)count);
        for (int i = 0; i < count; i++) {
            item->phis[i] = LLVMBuildPhi(emitter->module->builder, LLVMTypeOf(parts[i]), "");
            LLVMAddIncoming(item->phis[i], &parts[i], &from, 1);
            parts[i] = item->phis[i];
        }
    }
}

static void close_phis(Emitter *emitter, CarriedList *list, LLVMBasicBlockRef from) {
    for (uint32_t k = 0; k < list->count; k++)
        for (int i = 0; i < part_count(emitter, list->items[k].value); i++)
            LLVMAddIncoming(list->items[k].phis[i], &emitter->cells[list->items[k].value].parts[i], &from, 1);
}

static void use_phis(Emitter *emitter, CarriedList *list) {
    for (uint32_t k = 0; k < list->count; k++)
        for (int i = 0; i < part_count(emitter, list->items[k].value); i++)
            emitter->cells[list->items[k].value].parts[i] = list->items[k].phis[i];
}

// ---- control flow

static LLVMBasicBlockRef new_block(Emitter *emitter, const char *name) {
    return LLVMAppendBasicBlockInContext(emitter->module->context, emitter->function, name);
}

static void emit_loop_body(Emitter *emitter, uint32_t loop, LLVMValueRef base) {
    emitter->cells[loop].base = base;
    emit_range(emitter, loop + 1, emitter->ends[loop]);
}

// for (base = start; base != end; base += stride), at least once.
static void emit_repeated(Emitter *emitter, uint32_t loop, LLVMValueRef start, LLVMValueRef end, int64_t stride) {
    CpuModule *module = emitter->module;
    LLVMBuilderRef builder = module->builder;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(builder);
    const char *name = emit_op_at(emitter, loop)->name;
    LLVMBasicBlockRef body = new_block(emitter, name ? name : "loop");
    LLVMBuildBr(builder, body);
    LLVMPositionBuilderAtEnd(builder, body);
    LLVMValueRef base = LLVMBuildPhi(builder, module->i64, "");
    LLVMAddIncoming(base, &start, &before, 1);
    CarriedList carried = carried_by(emitter, loop);
    open_phis(emitter, &carried, before);
    emit_loop_body(emitter, loop, base);
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(builder), after = new_block(emitter, "after");
    LLVMValueRef next = LLVMBuildAdd(builder, base, cpu_integer(module->i64, stride), "");
    LLVMAddIncoming(base, &next, &latch, 1);
    close_phis(emitter, &carried, latch);
    LLVMBuildCondBr(builder, LLVMBuildICmp(builder, LLVMIntNE, next, end, ""), body, after);
    LLVMPositionBuilderAtEnd(builder, after);
}

// What `inside` emits, when `condition` holds; accumulators keep their values otherwise.
static void emit_conditional(Emitter *emitter, uint32_t loop, LLVMValueRef condition, LLVMValueRef start,
                             LLVMValueRef end, int64_t stride, bool once) {
    LLVMBuilderRef builder = emitter->module->builder;
    CarriedList carried = carried_by(emitter, loop);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(builder), body = new_block(emitter, "guarded");
    LLVMBasicBlockRef join = new_block(emitter, "join");
    LLVMBuildCondBr(builder, condition, body, join);
    LLVMPositionBuilderAtEnd(builder, join);
    open_phis(emitter, &carried, before);
    // Inside, the accumulators are what they were before.
    for (uint32_t k = 0; k < carried.count; k++)
        for (int i = 0; i < part_count(emitter, carried.items[k].value); i++)
            emitter->cells[carried.items[k].value].parts[i] = LLVMGetIncomingValue(carried.items[k].phis[i], 0);
    LLVMPositionBuilderAtEnd(builder, body);
    if (once)
        emit_loop_body(emitter, loop, start);
    else
        emit_repeated(emitter, loop, start, end, stride);
    close_phis(emitter, &carried, LLVMGetInsertBlock(builder));
    LLVMBuildBr(builder, join);
    LLVMPositionBuilderAtEnd(builder, join);
    use_phis(emitter, &carried);
}

// ---- the part of an extent that a piece covers

typedef struct {
    LLVMValueRef begin, length; // i64
    int64_t lengths[2];         // the shorter and the longer length of a piece; equal when all pieces are alike
} Range;

static Range loop_range(Emitter *emitter, const TileOp *op) {
    CpuModule *module = emitter->module;
    LLVMBuilderRef builder = module->builder;
    int64_t pieces = op->pieces ? op->pieces : 1;
    int64_t shorter = op->extent / pieces, longer = shorter + (op->extent % pieces != 0);
    Range range = {.begin = cpu_integer(module->i64, 0),
                   .length = cpu_integer(module->i64, shorter),
                   .lengths = {shorter, longer}};
    if (pieces == 1) return range;
    LLVMValueRef extent = cpu_integer(module->i64, op->extent), count = cpu_integer(module->i64, pieces);
    if (shorter == longer) {
        range.begin = LLVMBuildMul(builder, emitter->piece, range.length, "");
        return range;
    }
    range.begin = LLVMBuildUDiv(builder, LLVMBuildMul(builder, emitter->piece, extent, ""), count, "");
    if (PLANTED(uneven_pieces_overlap)) range.begin = LLVMBuildMul(builder, emitter->piece, range.length, "");
    LLVMValueRef next = LLVMBuildAdd(builder, emitter->piece, cpu_integer(module->i64, 1), "");
    LLVMValueRef end = LLVMBuildUDiv(builder, LLVMBuildMul(builder, next, extent, ""), count, "");
    range.length = LLVMBuildSub(builder, end, range.begin, "");
    return range;
}

// ---- tiles of one size: how many there are in a piece of the shorter and of the longer length

typedef struct {
    int64_t size, counts[2];
} TileCount;
enum { MAX_TILE_SIZES = 4 };

static void count_tiles(TileCount *tiles, int *count, int64_t size, int64_t number, int length) {
    if (size == 0 || number == 0) return;
    int i = 0;
    while (i < *count && tiles[i].size != size)
        i++;
    CHECK(i < MAX_TILE_SIZES);
    if (i == *count) tiles[(*count)++] = (TileCount){.size = size};
    tiles[i].counts[length] += number;
}

// Larger tiles come first in each piece.
static int tiles_of(const TileOp *op, const Range *range, TileCount *tiles) {
    int count = 0;
    for (int k = 0; k < 2; k++) {
        int64_t length = range->lengths[k], number = (length + op->step - 1) / op->step;
        if (length == 0) continue;
        if (op->split_evenly) {
            count_tiles(tiles, &count, length / number + 1, length % number, k);
            count_tiles(tiles, &count, length / number, number - length % number, k);
        } else {
            count_tiles(tiles, &count, op->step, length / op->step, k);
            if (!PLANTED(tail_dropped) || length < op->step) count_tiles(tiles, &count, length % op->step, 1, k);
        }
    }
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && tiles[k].size > tiles[k - 1].size; k--) {
            TileCount larger = tiles[k];
            tiles[k] = tiles[k - 1];
            tiles[k - 1] = larger;
        }
    return count;
}

static void open_tile(Emitter *emitter, uint32_t loop, int64_t size) {
    const TileOp *op = emit_op_at(emitter, loop);
    if (op->loop == LOOP_ROWS) {
        emitter->rows_loop = loop;
        emitter->rows = (int)size;
        emitter->in_rows = true;
    } else if (op->loop == LOOP_LANES) {
        emitter->vectors = (int)((size + TILE_LANES - 1) / TILE_LANES);
        emitter->tail = (int)(size - (emitter->vectors - 1) * (int64_t)TILE_LANES);
        emitter->in_lanes = true;
    }
}

static void close_tile(Emitter *emitter, const TileOp *op) {
    if (op->loop == LOOP_ROWS) {
        emitter->rows = 1;
        emitter->in_rows = false;
    } else if (op->loop == LOOP_LANES) {
        emitter->vectors = 1;
        emitter->tail = TILE_LANES;
        emitter->in_lanes = false;
    }
}

// All tiles of one size; returns where they end.
static LLVMValueRef emit_tiles(Emitter *emitter, uint32_t loop, const TileCount *tile, const Range *range,
                               LLVMValueRef start) {
    CpuModule *module = emitter->module;
    LLVMBuilderRef builder = module->builder;
    int64_t shorter = tile->counts[0], longer = tile->counts[1];
    LLVMValueRef span = cpu_integer(module->i64, shorter * tile->size), condition = NULL;
    if (shorter != longer) {
        LLVMValueRef is_long =
            LLVMBuildICmp(builder, LLVMIntEQ, range->length, cpu_integer(module->i64, range->lengths[1]), "");
        span = LLVMBuildSelect(builder, is_long, cpu_integer(module->i64, longer * tile->size), span, "");
        if (shorter == 0) condition = is_long;
        if (longer == 0) condition = LLVMBuildNot(builder, is_long, "");
    }
    LLVMValueRef end = LLVMBuildAdd(builder, start, span, "");
    bool once = shorter <= 1 && longer <= 1;
    if (condition)
        emit_conditional(emitter, loop, condition, start, end, tile->size, once);
    else if (once)
        emit_loop_body(emitter, loop, start);
    else
        emit_repeated(emitter, loop, start, end, tile->size);
    return end;
}

static void emit_guard(Emitter *emitter, uint32_t loop) {
    CpuModule *module = emitter->module;
    LLVMBuilderRef builder = module->builder;
    const TileOp *op = emit_op_at(emitter, loop);
    Range range = loop_range(emitter, op);
    LLVMValueRef value = emit_part(emitter, op->operands[0], 0, 0, false);
    value = LLVMBuildSExt(builder, value, module->i64, "");
    // One unsigned comparison tests both ends.
    LLVMValueRef position = LLVMBuildSub(builder, value, range.begin, "");
    LLVMValueRef inside = LLVMBuildICmp(builder, LLVMIntULT, position, range.length, "");
    emit_conditional(emitter, loop, inside, value, NULL, 0, true);
}

// The uniform index of a bound, at the first or the last row of the open tile.
static LLVMValueRef bound_index(Emitter *emitter, const Address *address, bool last) {
    CHECK(address->row_terms == 0 && address->lane_terms == 0 && address->lane_step == 0 && address->row_step >= 0);
    int64_t row = last ? emitter->rows - 1 : 0;
    LLVMValueRef index = cpu_integer(emitter->module->i64, address->constant + address->row_step * row);
    return address->base ? LLVMBuildAdd(emitter->module->builder, address->base, index, "") : index;
}

static LLVMValueRef extreme(CpuModule *module, const char *name, LLVMValueRef a, LLVMValueRef b) {
    return cpu_intrinsic(module, name, (LLVMTypeRef[]){module->i64}, 1, (LLVMValueRef[]){a, b}, 2);
}

// From the bounds, rounded outwards to whole steps, to where they meet the extent.
static void emit_bounded(Emitter *emitter, uint32_t loop) {
    CpuModule *module = emitter->module;
    LLVMBuilderRef builder = module->builder;
    const TileOp *op = emit_op_at(emitter, loop);
    int64_t step = op->loop == LOOP_LANES ? op->step : 1;
    LLVMValueRef start = cpu_integer(module->i64, 0), end = cpu_integer(module->i64, op->extent), zero = start;
    const Address *address = emit_address(emitter, &op->index);
    if (op->low > -BAND_OPEN) {
        LLVMValueRef first =
            LLVMBuildAdd(builder, bound_index(emitter, address, false), cpu_integer(module->i64, op->low), "");
        first = extreme(module, "llvm.smax", first, zero);
        start = LLVMBuildSub(builder, first, LLVMBuildURem(builder, first, cpu_integer(module->i64, step), ""), "");
    }
    if (op->high < BAND_OPEN) {
        int64_t more = op->high + step;   // one behind the last, rounded up
        LLVMValueRef after =
            LLVMBuildAdd(builder, bound_index(emitter, address, true), cpu_integer(module->i64, more), "");
        after = extreme(module, "llvm.smax", after, zero);
        after = LLVMBuildSub(builder, after, LLVMBuildURem(builder, after, cpu_integer(module->i64, step), ""), "");
        end = extreme(module, "llvm.smin", after, end);
    }
    open_tile(emitter, loop, step);
    LLVMValueRef any = LLVMBuildICmp(builder, LLVMIntSLT, start, end, "");
    emit_conditional(emitter, loop, any, start, end, step, op->extent == step);
    close_tile(emitter, op);
}

void emit_loop(Emitter *emitter, uint32_t loop) {
    const TileOp *op = emit_op_at(emitter, loop);
    if (op->bounded) {
        emit_bounded(emitter, loop);
        return;
    }
    if (op->loop == LOOP_GUARD) {
        emit_guard(emitter, loop);
        return;
    }
    Range range = loop_range(emitter, op);
    TileCount tiles[MAX_TILE_SIZES];
    TileOp single = *op;
    if (op->loop == LOOP_PLAIN || op->loop == LOOP_PIECE) single.step = 1, single.split_evenly = false;
    int count = tiles_of(&single, &range, tiles);
    LLVMValueRef start = range.begin;
    for (int i = 0; i < count; i++) {
        open_tile(emitter, loop, tiles[i].size);
        start = emit_tiles(emitter, loop, &tiles[i], &range, start);
        close_tile(emitter, op);
    }
}
