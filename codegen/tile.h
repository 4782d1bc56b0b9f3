// Tile programs: a box lowered once, for all backends, to loops over dims around about a dozen tile operations.
// A backend is the printing of these operations.
//
//     kernel row_softmax_edfaa24155db9ddb (f32 b0[196608], out f32 b1[196608])
//     piece r.0 3072/4
//       %1 = zero lanes -inf
//       lanes s.2 64 step 64
//         %3 = load f32 b0[64*r.0 + s.2]
//         accumulate max %1 %3
//       end
//       %6 = row_reduce max %1
//       ...
//
// Values are SSA numbers. A value has a shape: uniform (one number), rows (one per row of the enclosing rows-loop),
// lanes (one per lane of the enclosing lanes-loop), or rows x lanes: the register tile. Vectors always are 16 lanes
// wide; the backend splits them where the machine is narrower, so bits do not depend on vector width.
#ifndef SINTER_CODEGEN_TILE_H
#define SINTER_CODEGEN_TILE_H

#include "base/text.h"
#include "ir/graph.h"
#include "ir/plan.h"
#include "ir/target.h"

enum { TILE_LANES = 16 };

typedef uint32_t TileValue;      // number of the operation that defines it
#define TILE_NONE UINT32_MAX

typedef enum {
    TILE_LOOP,                 // body up to the matching TILE_END; defines the loop's index (uniform, rows or lanes)
    TILE_END,
    TILE_CONST,                // number (f32, i32, bool): uniform
    TILE_INDEX,                // i32 value of an affine index
    TILE_LOAD,                 // buffer element(s) at an affine index
    TILE_TABLE,                // like load, from constant table `table`
    TILE_STORE,                // operand -> buffer at an affine index
    TILE_MAP,                  // pointwise function of operands: an Op, rounding once, or an integer TileFunction
    TILE_ZERO,                 // an accumulator: filled with `number`
    TILE_ACCUMULATE,           // accumulator = add | max (accumulator, operand)
    TILE_MULTIPLY_ACCUMULATE,  // accumulator[rows, lanes] = fma(a[rows], b[lanes], accumulator)
    TILE_ROW_REDUCE,           // 16-lane or 16-row accumulator -> one number (per lane), by the fixed tree
    TILE_RANDOM,               // f32 in [0,1): operands seed, step, micro (uniform i32), index
    TILE_SCATTER_ADD,          // buffer element(s) at index += operand, one after the other
    TILE_PREFETCH              // buffer element(s) at index will be used soon; anywhere, since it changes nothing.
                               // first_row: of the tile's rows the first alone, wherever the index takes it
} TileKind;

// Integer functions that addresses need, beside the pointwise Ops (ADD, SUB, MUL on i32 are the Ops).
typedef enum { TILE_DIVIDE = OP_COUNT, TILE_REMAINDER, TILE_MINIMUM_INTEGER, TILE_MAXIMUM_INTEGER } TileFunction;

// constant + sum of coefficient * value; values are loop indices or i32 values.
enum { TILE_MAX_TERMS = 12 };
typedef struct {
    int64_t constant;
    int count;
    struct { TileValue value; int64_t coefficient; } terms[TILE_MAX_TERMS];
} TileIndex;

typedef enum {
    LOOP_PLAIN,    // index 0 .. extent-1 (uniform)
    LOOP_PIECE,    // index extent*piece/pieces .. extent*(piece+1)/pieces - 1 (uniform)
    LOOP_ROWS,     // `step` rows at a time, over `extent` (or, with pieces > 0, over the piece's part of it).
                   // split_evenly: ceil(n/step) tiles whose sizes differ by at most one; else tiles of `step` from the
                   // start and one remainder
    LOOP_LANES,    // `step` lanes (a multiple of 16) at a time over `extent` (or, with pieces > 0, over the piece's
                   // part of it); the tail is masked
    LOOP_GUARD     // the body runs once with index = operands[0] (uniform i32) when that lies in 0 .. extent-1 and,
                   // with pieces > 0, in the piece's part of it; else not at all
} LoopKind;

enum { SHAPE_UNIFORM = 0, SHAPE_ROWS = 1, SHAPE_LANES = 2 };   // bits

typedef struct {
    TileKind kind;
    DType dtype;                 // of the value; F32, I32, BOOL
    uint8_t shape;               // SHAPE_ bits
    // LOOP
    LoopKind loop;
    int64_t extent;
    uint32_t pieces, step;
    bool split_evenly;
    // PLAIN, LANES: only the rounds i with low <= i - index <= high, and for LANES those of whole steps that hold one
    // such; an index that moves with the rows of an open tile counts from its first to its last row.
    bool bounded;
    int64_t low, high;
    const char *name;            // for printing: dim name
    // others
    int function;                // MAP: Op or TileFunction; ACCUMULATE, ROW_REDUCE: OP_SUM or OP_MAX
    TileValue operands[4];
    int operand_count;
    int buffer;                  // LOAD, STORE, SCATTER_ADD, PREFETCH
    bool first_row;              // PREFETCH
    TileIndex index;             // LOAD, TABLE, STORE, SCATTER_ADD, PREFETCH, INDEX, RANDOM, bounded LOOP
    double number;               // CONST, ZERO
    const double *table;         // TABLE
    int64_t table_count;
    uint32_t site;               // RANDOM: key of the site
} TileOp;
// Accumulators (TILE_ZERO) have shape LANES (exactly 16 lanes, each lane one chain; ACCUMULATE folds wider operands in
// ascending order), ROWS|LANES declared inside a rows-loop only (the same 16 lanes for each row; ROW_REDUCE gives
// ROWS), ROWS|LANES declared inside a rows-loop and a lanes-loop (the register tile of a product), or, with
// `step` = 16, ROWS|LANES of 16 rows declared outside a rows-loop of step 16 (a reduction down columns; the rows of
// the operand fold into accumulator row index%16).
// UNIFORM accumulators are single chains.
// An accumulator is the one thing that changes: a use of the value of TILE_ZERO reads what has been accumulated so far.
// operands: ACCUMULATE (accumulator, value), MULTIPLY_ACCUMULATE (accumulator, a, b), ROW_REDUCE (accumulator). An
// operand of smaller shape is broadcast; masked lanes are neither accumulated nor stored.
// The tree of ROW_REDUCE: lane i with lane i+8 for i < 8, then i+4, i+2, i+1.

typedef struct {
    DType dtype;
    int64_t elements;            // bound for every access
    bool written;
    bool far;                    // written whole, not read before the caches have forgotten it: stores may pass them by
    bool local;                  // the kernel's own, of a piece; it holds anything when the piece begins
} TileBuffer;

typedef struct {
    const char *name;            // a C identifier, unique per distinct kernel
    TileBuffer *buffers;         // the step's operands in their order, then its outputs; an output may be the very
                                 // memory of an operand (an update in place): then each element is read before it is
                                 // written. Local ones are the last
    uint32_t buffer_count;
    TileOp *ops;
    uint32_t op_count;
    TensorTile tensor;           // of tile_lower_tensor
    bool is_chained;             // its block has one piece and takes tile after tile
} TileProgram;

// Lowers one step (engine tiles) of a plan. Never fails on a verified plan.
TileProgram *tile_lower(Arena *arena, const Plan *plan, const Step *step, const Target *target);
// A product whose step has a TensorTile, for a backend with tensor cores: one nest of loops down to one tile of
// `tensor.rows` by `tensor.lanes`, which sums in a nest of plain loops whose body is one multiply-accumulate.
TileProgram *tile_lower_tensor(Arena *arena, const Plan *plan, const Step *step, const Target *target);
// A sweep: a program for one tile, and one for what becomes of each outer product's sums.
//
//     loop B  rows T 1024 step 128  lanes S 1024 step 64        loop B  rows T 1024 step 128  lanes D 64 step 64
//                                  (loops over what is shared stand before the lanes)
//       %5 = zero                  the first inner product        %4 = zero             the outer product
//       ...                                                       ...
//       store limit %9             what lse is of                 store b3[..] %8
//       %10 = load limit           the largest of it so far
//       store sum %12              exp(x - limit)
//       store factor0 %14          what the outer product multiplies
//
// Zeros stand in the order of the products, at the beginning of the innermost loop. limit, sum and factors are local
// buffers: a backend has them in registers.
typedef struct {
    int buffer;                  // -1: none
    int64_t offset, places[MAX_RANK], shared[MAX_RANK];   // elements; from one index of a place to the next
    int64_t pitch;               // from one row, or column, to the next
    int width;                   // side by side
} SweepPanel;
enum { SWEEP_PANELS = 2 * SWEEP_MOST };
typedef struct {
    const Graph *dims;
    Sweeping sweeping;
    TensorTile tensor;
    Band band;
    TileProgram *tile, *ends[SWEEP_MOST];
    int limit, sum, factors[SWEEP_MOST];         // buffers of the tile's program; -1: none
    SweepPanel rows[SWEEP_MOST];                 // by inner product
    SweepPanel columns[SWEEP_PANELS];            // along the swept dim; products share them
    int column_count, inner_columns[SWEEP_MOST], outer_columns[SWEEP_MOST];
    SweepPanel lse;              // where a row's goes, when it is an output
} SweepProgram;
SweepProgram *tile_lower_sweep(Arena *arena, const Plan *plan, const Step *step, const Target *target);
void tile_print(const TileProgram *program, Text *out);
// Checks nesting, definition before use, shapes and types; NULL when sound.
const char *tile_verify(const TileProgram *program, Arena *arena);

// ---- for lowering code: adds ops where the open loops stand; pure ops move as far out as their operands allow, equal
// ones are one, unused ones are left out
typedef struct TileBuilder TileBuilder;
TileBuilder *tile_builder(Arena *arena, const char *name);
int tile_buffer(TileBuilder *builder, DType dtype, int64_t elements, bool written);
int tile_local(TileBuilder *builder, int64_t elements);          // of f32; after all others
TileValue tile_loop(TileBuilder *builder, LoopKind kind, const char *name, int64_t extent, uint32_t pieces,
                    uint32_t step, bool split_evenly);
TileValue tile_bounded_loop(TileBuilder *builder, LoopKind kind, const char *name, int64_t extent, uint32_t step,
                            TileIndex index, int64_t low, int64_t high);
TileValue tile_guard(TileBuilder *builder, const char *name, int64_t extent, uint32_t pieces, TileValue value);
void tile_end(TileBuilder *builder);
TileValue tile_add(TileBuilder *builder, const TileOp *op);      // general; returns its value (TILE_NONE for stores)
TileValue tile_const(TileBuilder *builder, DType dtype, double number);
TileValue tile_map(TileBuilder *builder, int function, DType dtype, const TileValue *operands, int count);
TileValue tile_load(TileBuilder *builder, int buffer, DType dtype, TileIndex index);
void tile_store(TileBuilder *builder, int buffer, TileIndex index, TileValue value);
void tile_prefetch(TileBuilder *builder, int buffer, TileIndex index, bool first_row);
void tile_scatter_add(TileBuilder *builder, int buffer, TileIndex index, TileValue value);
uint32_t tile_given(const TileProgram *program);                 // buffers that are not local
TileIndex tile_index(int64_t constant);
TileIndex tile_index_plus(TileIndex index, TileValue value, int64_t coefficient);   // merges equal values
TileIndex tile_index_sum(TileIndex a, TileIndex b, int64_t coefficient);            // a + coefficient * b
uint8_t tile_shape(const TileBuilder *builder, TileValue value);
TileProgram *tile_finish(TileBuilder *builder);

// ---- the pull evaluator (codegen/evaluate.c): emits the value of a region node at given indices.
// env[d] is the affine index of dim d. Moves only rewrite env; leaves become loads at layout addresses. Values are
// memoised per (node, env) inside the scopes still open.
typedef struct Evaluator Evaluator;
Evaluator *evaluator_create(TileBuilder *builder, const Plan *plan, const Step *step);
// Value of `node`: reductions, contractions (and anything `evaluator_define`d) must have been defined before.
TileValue evaluator_value(Evaluator *evaluator, NodeId node, const TileIndex *env);
// Gives `node` a computed value (a finished reduction, an accumulator tile) at `env`; its use at another env is a BUG.
void evaluator_define(Evaluator *evaluator, NodeId node, const TileIndex *env, TileValue value);
// Address of element `env` in a value of that layout.
TileIndex evaluator_address(Evaluator *evaluator, const Layout *layout, const TileIndex *env);

#endif
