// Inside codegen/cuda: what its files share. Nothing outside this folder (and its tests) includes it.
//
//     program.c     plans -> CudaCode               uses print.c, ../link.c
//     print.c       one tile program -> the text of one kernel
//     spread.c      which loops' rounds are dealt out to workers, and where these must wait for each other
//     serial.c      how long a worker is busy
//     print_loop.c  loops, tiles and masks          print_run.c  straight-line runs, part by part
//     print_parts.c nests over a tile's parts       print_op.c  one operation       print_index.c  affine indices
//     kernel.c      a kernel as data, until its unit's text is written
//     merge.c       small launches that do not wait for each other -> one
//     persist.c     all launches of a program -> one cooperative kernel      launched.c  without what nobody launches
//     print_tensor.c, print_stage.c, print_fours.c   products in blocks for tensor cores
//     print_warpgroup.c, boxes.c      the same for warpgroups of sm_90a
//     chain.c, print_chain.c   a chain of steps as one kernel
//     common.cu     what all kernels share: mathematics, random numbers, the tree of reductions
//     tensor.cu     tensor cores, asynchronous copies
//     halves.cu     fragments of 16-bit factors; stands behind it twice, for bf16 and for f16
//     persistent.cu the grid's barrier
//     warpgroup.cu  barriers in shared memory, boxes of tensors, wgmma
//
// A worker is a half-warp: a core whose vectors have 16 lanes. A tile value is one register per thread for every row
// and every 16 lanes of its tile; threads of a worker differ in lanes only.
#ifndef SINTER_CODEGEN_CUDA_CUDA_H
#define SINTER_CODEGEN_CUDA_CUDA_H

#include "codegen/cuda/cuda_program.h"
#include "codegen/cuda/kernel.h"
#include "codegen/lower.h"

extern const char *cuda_common(void); // common.cu
extern const char *cuda_tensor(void); // tensor.cu
extern const char *cuda_halves(void); // halves.cu
extern const char *cuda_warpgroup(void); // warpgroup.cu
extern const char *cuda_persistent(void); // persistent.cu

// ---- spread.c
typedef enum {
    SPREAD_LOOPS,  // each outermost nest of loops deals out the rounds of its `dealt` loops
    SPREAD_PIECES, // a worker takes whole pieces
    SPREAD_SHARED, // pieces are dealt out, too: each to as many workers as its nests have rounds
    SPREAD_NOT,    // one worker does everything
    SPREAD_TENSOR  // a block of threads takes one tile
} SpreadKind;

typedef struct {
    SpreadKind kind;
    uint32_t pieces;
    const bool *dealt;    // by LOOP, with SPREAD_LOOPS
    const bool *again;    // by buffer: read again where another thread of the worker may have written
    const bool *over;     // by buffer: written where another thread of the worker may still want to read
    int64_t units;        // what there is to deal out: the most workers that have something to do
} Spread;

Spread spread_of(const TileProgram *program, const bool *aliased, Arena *arena);
// Of one piece of a program that is cut in pieces, by the workers of one block: SPREAD_LOOPS, or SPREAD_NOT.
Spread spread_of_piece(const TileProgram *program, const bool *aliased, Arena *arena);
// serial.c, by a model: one unit of what is dealt out, by a worker. 0 for tensor cores and scatters.
double unit_seconds(const TileProgram *program, const Spread *spread, Arena *scratch);
// Whether rounds of a loop with the body begin .. end may be repeated in text, for the compiler to have their loads
// under way at once. `rows`, `vectors`: of the tile that is open in it.
bool rounds_go_together(const TileProgram *program, const uint8_t *shapes, uint32_t begin, uint32_t end, double rows,
                        double vectors);
bool loop_is_piece(const TileOp *loop);   // its one round is the piece's number
// Rounds of a loop, or of a piece's part of it, and rows of its largest tile (1 for loops that have no tiles).
int64_t loop_rounds(const TileOp *loop);
int64_t loop_tile(const TileOp *loop);

// ---- printing
typedef struct {
    int rows, vectors; // registers per thread: [rows][vectors]
    bool stored;       // declared where its run begins, since more than its own part of the run uses it
    bool is_over;      // not declared: in the registers of `over`, sums that nobody needs any more
    TileValue over;
} Cell;

typedef struct {
    Arena *arena;
    Text *out;
    const TileProgram *program;
    const char *symbol;
    const uint32_t *ends;
    const uint8_t *shapes;
    TileRange *ranges;
    const Spread *spread;
    Cell *cells;
    int depth;                       // of indentation
    TileValue rows_loop, lanes_loop; // open ones, or TILE_NONE
    int rows, vectors;               // of the open tile; 1 and 1 outside of rows and lanes loops
    const char *row_count;           // rows of this tile when that varies, else NULL
    const char *lane_limit;          // lanes from here on are masked out, or NULL
    bool in_row_nest;                // `r` is in scope
    bool rolled_rows, rolled_vectors;   // the nest's part is always the first one (print_parts.c)
    bool in_fours;                   // four lanes of a nest have been loaded, and are stored together (print_fours.c)
    const struct Tensor *tensor;     // how a block's threads share a tile; NULL: a tile is one worker's
    const char *worker, *workers;    // which one takes what is dealt out, and among how many
    bool asks_works;                 // what is dealt out has `works` rounds, whatever their number
    uint32_t works;                  // their number, when it has been printed
    bool is_nameless;                // indices are called by their number alone
} Printer;

Printer printer_of(Arena *arena, Text *out, const TileProgram *program, const char *symbol, const Spread *spread);

static inline const TileOp *printer_op(const Printer *printer, TileValue value) {
    return &printer->program->ops[value];
}

// One line, indented. Lines that end with `{` open a block, those that begin with `}` close one.
void print_line(Printer *printer, const char *format, ...) __attribute__((format(printf, 2, 3)));

void print_range(Printer *printer, uint32_t begin, uint32_t end);       // print_loop.c
void print_nest(Printer *printer, uint32_t loop);                       // print_loop.c: one whose rounds are dealt out
uint32_t nest_paths(const Printer *printer, uint32_t loop);             // print_loop.c: of how many parts that is done
void print_run(Printer *printer, uint32_t begin, uint32_t end);         // print_run.c
uint32_t run_end(const Printer *printer, uint32_t begin, uint32_t limit);
// print_parts.c: whether a run's nest over rows, or over vectors, is rolled; what ends its rounds then. `shape`: what
// all operations of the nest have.
bool rows_are_long(const Printer *printer, uint32_t begin, uint32_t end);   // they are rolled, if that finds registers
bool rolls_rows(const Printer *printer, uint32_t begin, uint32_t end);
bool rolls_vectors(const Printer *printer, uint32_t begin, uint32_t end, uint8_t shape);
int op_instructions(const TileOp *op);                                  // print_parts.c: of one part, about
void print_rotations(Printer *printer, uint32_t begin, uint32_t end, uint8_t shape);
// The same of so many lanes of a round of rolled rows.
void print_lane_rotations(Printer *printer, uint32_t begin, uint32_t end, int by);
void print_op(Printer *printer, uint32_t number);                       // print_op.c: in the scope of its part
const char *value_text(const Printer *printer, TileValue value);        // print_op.c: of the part in scope
const char *dtype_text(DType dtype);
const char *float_text(Arena *arena, double number);
const char *loop_base(const Printer *printer, TileValue loop);          // print_index.c: "T_2", the tile's first index
const char *loop_element(const Printer *printer, TileValue loop);       // "T_2i", the index of the part in scope
typedef enum { INDEX_SIGNED, INDEX_WIDE, INDEX_UNSIGNED, INDEX_FIRST_ROW, INDEX_LAST_ROW } IndexStyle;
const char *index_text(const Printer *printer, const TileIndex *index, IndexStyle style);
const char *address_text(const Printer *printer, const TileIndex *index);

bool print_tables(Printer *printer);   // print.c: false, there are none
void print_piece(Printer *printer);    // print.c: what the workers of a block do of `piece`
// One kernel and its tables, for blocks of any number of threads where it is spread over workers.
const CudaText *print_kernel(Arena *arena, const TileProgram *program, const bool *aliased, const char *symbol,
                             const Spread *spread);

#endif
