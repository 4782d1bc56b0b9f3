// Inside codegen/cpu/emit*.c: one tile program on its way to one LLVM function.
//
// A tile value of shape rows x lanes with m rows and n lanes is m * ceil(n/16) SSA values, its parts: part (r, v) is
// row r, lanes 16v .. 16v+15. A rows value has m scalar parts, a lanes value ceil(n/16) vectors, a uniform value one
// scalar. Loop bodies are emitted once per tile size, so m, n and the mask of the last vector are constants everywhere.
#ifndef SINTER_CODEGEN_CPU_EMIT_H
#define SINTER_CODEGEN_CPU_EMIT_H

#include "codegen/cpu/module.h"

// An affine index, ready for the open tile: base + constant + rows and lanes parts.
typedef struct {
    LLVMValueRef base;                     // i64: the uniform part, or NULL for 0
    int64_t constant, row_step, lane_step; // per row and per lane of the tile
    int64_t vector_step;                   // per vector: 16 times lane_step, but for what folds
    int row_terms, lane_terms;             // computed terms: scalars per row, vectors
    struct {
        TileValue value;
        int64_t coefficient;
    } rows[TILE_MAX_TERMS], lanes[TILE_MAX_TERMS];
} Address;

typedef struct {
    LLVMValueRef *parts; // [rows][vectors]; accumulators: the current ones
    int rows, vectors;
    uint8_t shape;        // that the operation works in; an effect's: of the parts it is done in
    LLVMValueRef base;    // LOOP: i64 index, of the tile's first row or lane
    Address *address;     // of ops with an index: computed at the op's first part
    LLVMValueRef pointer; // LOAD, STORE, ...: buffer + uniform part, built at the op's first part
    bool turned;          // LOAD: all rows of this vector were loaded at the first one
    LLVMValueRef key[2];  // RANDOM: key of the site at this step, built at the op's first part
} Cell;

typedef struct {
    CpuModule *module;
    Arena *arena;
    const TileProgram *program;
    LLVMValueRef function, piece; // piece: i64
    LLVMValueRef *buffers;
    Cell *cells;       // by op number
    uint32_t *ends;    // by LOOP op number: its TILE_END
    int rows, vectors; // the open tile; 1 and 1 outside of rows and lanes loops
    int tail;          // lanes in use of the last vector, 1 .. 16
    bool in_rows, in_lanes;
    uint32_t rows_loop; // the open rows loop, while in_rows
} Emitter;

static inline const TileOp *emit_op_at(const Emitter *emitter, TileValue value) {
    return &emitter->program->ops[value];
}

// ---- emit.c
void emit_range(Emitter *emitter, uint32_t begin, uint32_t end);
// Part (row, vector) of a value; a scalar is spread over 16 lanes when `wide`.
LLVMValueRef emit_part(Emitter *emitter, TileValue value, int row, int vector, bool wide);
void emit_set_part(Emitter *emitter, TileValue value, int row, int vector, LLVMValueRef part);
uint8_t emit_shape(const Emitter *emitter, TileValue value);
// <16 x i1> of the lanes in use, or NULL when all are.
LLVMValueRef emit_mask(Emitter *emitter, int vector);

// Part by part: for each row, for each vector, all operations that take part.
typedef enum { PARTS_ALL, PARTS_WITHOUT_ROWS, PARTS_WITH_ROWS } PartFilter;
void emit_parts(Emitter *emitter, uint32_t begin, uint32_t end, PartFilter filter);

// ---- emit_rows.c
bool emit_is_long(const Emitter *emitter, uint32_t begin, uint32_t end);
void emit_long_run(Emitter *emitter, uint32_t begin, uint32_t end);

// ---- emit_loops.c
void emit_loop(Emitter *emitter, uint32_t loop);

// ---- emit_address.c
Address *emit_address(Emitter *emitter, const TileIndex *index);
// i32 (or `type`, i64) value of the index for part (row, vector): scalar, or 16 lanes when `wide`.
LLVMValueRef emit_index_value(Emitter *emitter, const Address *address, int row, int vector, bool wide,
                              LLVMTypeRef type);

// ---- emit_memory.c, emit_map.c, emit_accumulate.c, emit_random.c: part (row, vector) of one operation
void emit_load(Emitter *emitter, uint32_t op, int row, int vector);
void emit_table(Emitter *emitter, uint32_t op, int row, int vector);
void emit_store(Emitter *emitter, uint32_t op, int row, int vector);
void emit_scatter_add(Emitter *emitter, uint32_t op, int row, int vector);
void emit_prefetch(Emitter *emitter, uint32_t number, int row, int vector);
void emit_map(Emitter *emitter, uint32_t op, int row, int vector);
void emit_zero(Emitter *emitter, uint32_t op);
void emit_accumulate(Emitter *emitter, uint32_t op, int row, int vector);
void emit_multiply_accumulate(Emitter *emitter, uint32_t op, int row, int vector);
void emit_row_reduce(Emitter *emitter, uint32_t op);
void emit_random(Emitter *emitter, uint32_t op, int row, int vector);
// a + b or the larger of a and b (OP_SUM, OP_MAX), scalars or vectors of f32 or i32.
LLVMValueRef emit_combine(CpuModule *module, int function, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_maximum(CpuModule *module, LLVMValueRef a, LLVMValueRef b);

#endif
