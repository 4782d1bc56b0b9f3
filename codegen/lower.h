// Inside codegen only: what tile_builder.c, evaluate.c and the lowering files share beyond the door codegen/tile.h.
#ifndef SINTER_CODEGEN_LOWER_H
#define SINTER_CODEGEN_LOWER_H

#include "codegen/tile.h"

// ---- ranges: which values an i32 can take. Loop indices have known ones; what is loaded can be anything.
typedef struct {
    int64_t low, high; // both included
} TileRange;
// `ranges` has one entry per op before `op`.
TileRange tile_op_range(const TileOp *op, const TileRange *ranges);
TileRange tile_index_range(const TileIndex *index, const TileRange *ranges);

// ---- for backends (tile_walk.c)
uint32_t *tile_ends(const TileProgram *program, Arena *arena);  // by LOOP: its END
// By operation: the shape that it works in, its value's; an effect's: of the parts it is done in.
uint8_t *tile_shapes(const TileProgram *program, Arena *arena);
bool tile_uses(const TileOp *op, TileValue value);               // as an operand
bool tile_accumulates(const TileOp *op);                         // onto its first operand
// Whether one of two operations changes an accumulator that the other uses: they keep their order.
bool tile_share_accumulator(const TileOp *before, const TileOp *after);

// ---- builder
Arena *tile_builder_arena(const TileBuilder *builder);
const TileOp *tile_op(const TileBuilder *builder, TileValue value);
bool tile_visible(const TileBuilder *builder, TileValue value); // defined in a scope that is still open
TileRange tile_range(const TileBuilder *builder, const TileIndex *index);
int tile_open_loops(const TileBuilder *builder);
TileValue tile_zero(TileBuilder *builder, uint8_t shape, uint32_t step, double number);
void tile_accumulate(TileBuilder *builder, Op op, TileValue accumulator, TileValue value);
TileValue tile_row_reduce(TileBuilder *builder, Op op, TileValue accumulator);

// ---- affine indices
bool tile_index_equal(const TileIndex *a, const TileIndex *b);
TileIndex tile_index_of(TileValue value);
TileValue tile_index_value(TileBuilder *builder, TileIndex index); // as an i32 value
// index / by and index % by for a non-negative index. They stay affine where that is provable:
//     (32*j + lane) / 32 = j,  (32*j + lane) % 32 = lane   for lane in 0..31
TileIndex tile_index_divide(TileBuilder *builder, TileIndex index, int64_t by);
TileIndex tile_index_remainder(TileBuilder *builder, TileIndex index, int64_t by);
// Undoes a division: c*n*(x/n) + c*(x%n) becomes c*x.
TileIndex tile_index_recombine(const TileBuilder *builder, TileIndex index);

// ---- lowering of one step
typedef struct {
    Arena *arena;
    const Plan *plan;
    const Step *step;
    const Graph *region;
    const Target *target;
    TileBuilder *builder;
    Evaluator *evaluator;
    const bool *live;
    TileIndex env[MAX_DIMS]; // where the open loops stand
    // Of a summed cut, or one in ranges: where the piece's share of the dims, or of the last one, begins; of a summed
    // cut the group's part of the output too, and whether a piece before left something there (TILE_NONE: none ever
    // does).
    TileIndex share, part;
    TileValue continues;
    bool revisits; // outputs are read again by the step itself
} Lowering;

// A program of a step: its buffers are declared, and nothing else; the program, with its name, when all is lowered.
Lowering *lowering_begin(Arena *arena, const Plan *plan, const Step *step, const Target *target);
TileProgram *lowering_end(Lowering *lowering, TensorTile tensor);

void lower_map(Lowering *lowering);
void lower_panels(Lowering *lowering, const uint32_t *outputs, uint32_t count); // map outputs of one layout with panels
// Outputs of one layout in panels, and what is a copy of one of them in panels along its other dims, `copy` being one.
void lower_update_with_copies(Lowering *lowering, const uint32_t *outputs, uint32_t count, uint32_t copy);
uint32_t lower_first_output_of(const Lowering *lowering, uint32_t output);   // of the same node
bool lower_is_turned_copy(const Lowering *lowering, uint32_t output);        // in another layout than that one
void lower_row(Lowering *lowering);
void lower_product(Lowering *lowering);
void lower_scatter(Lowering *lowering);
void lower_tensor(Lowering *lowering); // a product, in blocks for tensor cores

// Whether it is a sum over the lanes of what a product writes (lower_sums.c).
bool lower_is_folded(const Lowering *lowering, NodeId node);
// Whether an output is read for the first time only after more memory has passed by than the caches hold (lower_far.c).
bool lower_is_far(const Lowering *lowering, uint32_t output);

// ---- loops and stores (lower_loops.c)
int64_t lower_extent(const Lowering *lowering, DimList dims); // product of extents
const Value *lower_output(const Lowering *lowering, uint32_t output);
NodeId lower_output_node(const Lowering *lowering, uint32_t output);
DimSet lower_cut_set(const Lowering *lowering); // empty when there is one piece
// Points env of `dims` (row-major, outermost first) at the flat index.
void lower_place(Lowering *lowering, DimList dims, TileIndex flat);
// Opens one loop over all of `dims` and places them. Loops of one round are not opened where `kind` is plain.
void lower_open(Lowering *lowering, LoopKind kind, DimList dims, uint32_t pieces, uint32_t step, bool split_evenly);
const char *lower_loop_name(const Lowering *lowering, DimList dims);
void lower_open_each(Lowering *lowering, DimList dims); // one plain loop per dim
void lower_open_cut(Lowering *lowering);                // the piece's rows, one at a time
// A cut in ranges (cut_in_ranges): all of its dims but the last are placed, and `share` is where the range of the last
// begins. False when the step's cut is none.
bool lower_open_range(Lowering *lowering, CutRanges *ranges);
// A summed cut (cut_is_summed) finds out first what part of which sum the piece is. Then stores go to the group's part,
// lower_open_summed walks the piece's share, and lower_before reads what the group's pieces before it left: 0 in its
// first piece, TILE_NONE when there never are any.
void lower_open_summed_cut(Lowering *lowering);
void lower_open_summed(Lowering *lowering, DimList summed); // plain loops from the outermost, merged where possible
TileValue lower_before(Lowering *lowering, uint32_t output);
TileIndex lower_output_address(Lowering *lowering, uint32_t output);
TileValue lower_stored(Lowering *lowering, uint32_t output); // what lies where lower_store would store
void lower_close(Lowering *lowering, int depth);        // closes loops until `depth` are open
void lower_store(Lowering *lowering, uint32_t output, TileValue value);
// Whether dims `outer`, `inner` can be walked as one: every value that has one of them has both, adjacent in memory,
// and nothing in the region looks at one of them alone.
bool lower_merges(const Lowering *lowering, DimId outer, DimId inner);
// The step's band (Step.band) leaves out rounds of loops over its dims. Opens a loop over `extent` indices of the dim
// from `start` and places it; the band's other dim is placed already.
bool lower_in_band(const Lowering *lowering, DimId dim);
TileValue lower_band_loop(Lowering *lowering, LoopKind kind, DimId dim, TileIndex start, int64_t extent, uint32_t step);
// How many of the last dims of `dims` merge into one (1 when none do, 0 for no dims).
int lower_merged_suffix(const Lowering *lowering, DimList dims);
DimList dim_list_slice(DimList dims, int from, int to);
uint32_t lanes_step(int64_t extent, uint32_t largest); // a multiple of TILE_LANES, at most `largest`

#endif
