// Affine indices: which part is uniform, which moves with the rows and lanes of the open tile, which is computed.
//
// In: `64 r + s + 4` with r a rows loop and s a lanes loop. Out: base = 64 * base(r) + base(s), constant 4, 64 per row,
// 1 per lane; part (2, 1) of a load then is at pointer(base) + constant displacement 64*2 + 16 + 4. The uniform part is
// computed once per operation in 64 bits, displacements are immediates of the instructions.
//
// A quotient or remainder moves with the tile only by its remainder where tiles do not cross its steps: with s in tiles
// of 32 from 0, s / 32 is uniform and s % 32 is uniform + lane. So what lies in panels is read in order. And s % 16 is
// the lane in each of its vectors: all of a tile's vectors fold into one.
#include "codegen/cpu/emit.h"

static void add_scaled(Emitter *emitter, Address *address, LLVMValueRef value, int64_t coefficient) {
    LLVMBuilderRef builder = emitter->module->builder;
    if (coefficient != 1) value = LLVMBuildMul(builder, value, cpu_integer(emitter->module->i64, coefficient), "");
    address->base = address->base ? LLVMBuildAdd(builder, address->base, value, "") : value;
}

static void add_computed(Emitter *emitter, Address *address, TileValue value, int64_t coefficient) {
    uint8_t shape = emit_shape(emitter, value);
    if (shape & SHAPE_LANES) {
        CHECK(address->lane_terms < TILE_MAX_TERMS);
        address->lanes[address->lane_terms].value = value;
        address->lanes[address->lane_terms++].coefficient = coefficient;
    } else if (shape & SHAPE_ROWS) {
        CHECK(address->row_terms < TILE_MAX_TERMS);
        address->rows[address->row_terms].value = value;
        address->rows[address->row_terms++].coefficient = coefficient;
    } else {
        LLVMValueRef scalar = emit_part(emitter, value, 0, 0, false);
        add_scaled(emitter, address, LLVMBuildSExt(emitter->module->builder, scalar, emitter->module->i64, ""),
                   coefficient);
    }
}

// ---- quotients and remainders that do not change within a tile

static LLVMValueRef uniform_value(Emitter *emitter, TileValue value) {
    if (emit_op_at(emitter, value)->kind == TILE_LOOP) return emitter->cells[value].base;
    LLVMValueRef scalar = emit_part(emitter, value, 0, 0, false);
    return LLVMBuildSExt(emitter->module->builder, scalar, emitter->module->i64, "");
}

// The loop whose tiles begin at multiples of their size, of which `by` is one; TILE_NONE when the index moves
// otherwise.
static TileValue aligned_loop(const Emitter *emitter, const TileIndex *index, int64_t by) {
    TileValue moving = TILE_NONE;
    for (int i = 0; i < index->count; i++) {
        if (!emit_shape(emitter, index->terms[i].value)) continue;
        if (moving != TILE_NONE || index->terms[i].coefficient != 1) return TILE_NONE;
        moving = index->terms[i].value;
    }
    if (moving == TILE_NONE) return TILE_NONE;
    const TileOp *loop = emit_op_at(emitter, moving);
    if (loop->kind != TILE_LOOP || loop->split_evenly || by % loop->step != 0) return TILE_NONE;
    // A piece begins with a tile, when all pieces are of so many tiles.
    bool aligned = index->constant % loop->step == 0;
    if (loop->pieces) aligned = aligned && loop->extent % ((int64_t)loop->pieces * loop->step) == 0;
    for (int i = 0; i < index->count; i++)
        aligned = aligned && (index->terms[i].value == moving || index->terms[i].coefficient % loop->step == 0);
    return aligned ? moving : TILE_NONE;
}

static void add_lane_step(Address *address, int64_t step) {
    address->lane_step += step;
    address->vector_step += step * TILE_LANES;
}

static bool add_aligned(Emitter *emitter, Address *address, const TileOp *op, int64_t coefficient) {
    if (op->kind != TILE_MAP || (op->function != TILE_DIVIDE && op->function != TILE_REMAINDER)) return false;
    const TileOp *divided = emit_op_at(emitter, op->operands[0]), *divisor = emit_op_at(emitter, op->operands[1]);
    if (divisor->kind != TILE_CONST || (divided->kind != TILE_INDEX && divided->kind != TILE_LOOP)) return false;
    TileIndex single = {.count = 1, .terms = {{op->operands[0], 1}}};
    const TileIndex *index = divided->kind == TILE_INDEX ? &divided->index : &single;
    int64_t by = (int64_t)divisor->number;
    TileValue moving = aligned_loop(emitter, index, by);
    if (moving == TILE_NONE) return false;
    CpuModule *module = emitter->module;
    LLVMValueRef sum = cpu_integer(module->i64, index->constant), number = cpu_integer(module->i64, by);
    for (int i = 0; i < index->count; i++) {
        LLVMValueRef factor = cpu_integer(module->i64, index->terms[i].coefficient);
        LLVMValueRef term = LLVMBuildMul(module->builder, uniform_value(emitter, index->terms[i].value), factor, "");
        sum = LLVMBuildAdd(module->builder, sum, term, "");
    }
    bool is_quotient = op->function == TILE_DIVIDE;
    sum =
        is_quotient ? LLVMBuildUDiv(module->builder, sum, number, "") : LLVMBuildURem(module->builder, sum, number, "");
    add_scaled(emitter, address, sum, coefficient);
    bool in_rows = emit_op_at(emitter, moving)->loop == LOOP_ROWS;
    if (is_quotient) return true;
    if (in_rows)
        address->row_step += coefficient;
    else
        add_lane_step(address, coefficient);
    return true;
}

// What a lanes loop leaves modulo 16.
static bool add_folded(Address *address, const Emitter *emitter, const TileOp *op, int64_t coefficient) {
    if (op->kind != TILE_MAP || op->function != TILE_REMAINDER) return false;
    const TileOp *loop = emit_op_at(emitter, op->operands[0]), *divisor = emit_op_at(emitter, op->operands[1]);
    bool folds = divisor->kind == TILE_CONST && divisor->number == TILE_LANES;
    if (!folds || loop->kind != TILE_LOOP || loop->loop != LOOP_LANES || loop->pieces) return false;
    address->lane_step += coefficient;
    return true;
}

// ---- the sum

static void add_index(Emitter *emitter, Address *address, const TileIndex *index, int64_t scale) {
    address->constant += scale * index->constant;
    for (int i = 0; i < index->count; i++) {
        TileValue value = index->terms[i].value;
        int64_t coefficient = scale * index->terms[i].coefficient;
        const TileOp *op = emit_op_at(emitter, value);
        if (coefficient == 0) continue;
        if (op->kind == TILE_CONST) {
            address->constant += coefficient * (int64_t)op->number;
        } else if (op->kind == TILE_INDEX) {
            add_index(emitter, address, &op->index, coefficient); // affine in affine stays affine
        } else if (op->kind == TILE_LOOP) {
            if (op->loop == LOOP_ROWS) address->row_step += coefficient;
            if (op->loop == LOOP_LANES) add_lane_step(address, coefficient);
            add_scaled(emitter, address, emitter->cells[value].base, coefficient);
        } else if (!add_folded(address, emitter, op, coefficient) && !add_aligned(emitter, address, op, coefficient)) {
            add_computed(emitter, address, value, coefficient);
        }
    }
}

Address *emit_address(Emitter *emitter, const TileIndex *index) {
    Address *address = ARENA_NEW(emitter->arena, Address);
    add_index(emitter, address, index, 1);
    return address;
}

static LLVMValueRef add_terms(Emitter *emitter, LLVMValueRef sum, TileValue value, int64_t coefficient, int row,
                              int vector, bool wide) {
    LLVMBuilderRef builder = emitter->module->builder;
    LLVMTypeRef type = LLVMTypeOf(sum);
    LLVMValueRef term = emit_part(emitter, value, row, vector, wide);
    if (LLVMTypeOf(term) != type) term = LLVMBuildSExt(builder, term, type, "");
    if (coefficient != 1) term = LLVMBuildMul(builder, term, cpu_integer(type, coefficient), "");
    return LLVMBuildAdd(builder, sum, term, "");
}

LLVMValueRef emit_index_value(Emitter *emitter, const Address *address, int row, int vector, bool wide,
                              LLVMTypeRef type) {
    CpuModule *module = emitter->module;
    LLVMBuilderRef builder = module->builder;
    // Arithmetic may wrap on the way: the result is right modulo 2^32, and indices fit in 31 bits.
    LLVMValueRef sum = address->base ? address->base : cpu_integer(module->i64, 0);
    if (type != module->i64) sum = LLVMBuildTrunc(builder, sum, type, "");
    for (int i = 0; i < address->row_terms; i++)
        sum = add_terms(emitter, sum, address->rows[i].value, address->rows[i].coefficient, row, vector, false);
    int64_t displacement = address->constant + address->row_step * row + address->vector_step * vector;
    sum = LLVMBuildAdd(builder, sum, cpu_integer(type, displacement), "");
    if (!wide) {
        CHECK(address->lane_terms == 0);
        return sum;
    }
    sum = cpu_splat(module, sum);
    if (address->lane_step != 0) {
        LLVMTypeRef vectors = cpu_vector(type);
        LLVMValueRef lanes = cpu_lane_numbers(type);
        if (address->lane_step != 1) lanes = LLVMBuildMul(builder, lanes, cpu_integer(vectors, address->lane_step), "");
        sum = LLVMBuildAdd(builder, sum, lanes, "");
    }
    for (int i = 0; i < address->lane_terms; i++)
        sum = add_terms(emitter, sum, address->lanes[i].value, address->lanes[i].coefficient, row, vector, true);
    return sum;
}
