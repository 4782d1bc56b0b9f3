// Inside codegen/cuda: products in blocks for tensor cores.
//
//     print_tensor.c   the kernel: loops around the tile, the ring of stages, fragments
//     print_stage.c    what copies one stage: which address each thread takes
//     print_fours.c    what the tile reads and writes besides, four lanes at a time
//     print_turns.c    products of a chain: a block takes their tiles in turn
//     print_placed.c   factors that lie in shared memory, read from there
//     print_warpgroup.c, boxes.c   the same by wgmma: a ring of boxes, and which tensor each box is of
#ifndef SINTER_CODEGEN_CUDA_PRINT_TENSOR_H
#define SINTER_CODEGEN_CUDA_PRINT_TENSOR_H

#include "codegen/cuda/cuda.h"

enum { TENSOR_LINE = 128 };   // most bytes of the sum that are one stage of a row or lane
enum { BARRIER_ROOM = 1024 }; // behind a ring of boxes: a multiple of what these begin at

// In a sweep, what stands for a local buffer: of an element loaded, and a format for what is done with one stored.
typedef struct {
    const char *load, *store;
} RegisterText;

// How a block of threads shares a tile: warps side by side, each with tiles of 16 rows and 8 lanes.
typedef struct Tensor {
    TensorTile tile;
    int warps_rows, warps_lanes, threads;
    int resident;                // blocks that find registers on a multiprocessor at once
    int row_tiles, lane_tiles;   // of a warp
    int depth, together;         // summed indices of a stage, and of one product of fragments
    const char *word;            // what a register of a fragment is in the text
    const char *number, *leave;  // of a tile: what counts it, and how one is left that has nothing to do
    const char *at;              // which of the tile's stages is copied
    const bool *is_shared;       // by buffer: it lies in the chain's shared memory; NULL: none does
    const bool *is_copied;       // in a chain, by buffer: stages are copied from there
    const RegisterText *registers;   // by buffer, in the tile of a sweep: lanes are as mma.sync leaves them
} Tensor;

Tensor tensor_of(const TileProgram *program);
size_t tensor_shared_bytes(const TileProgram *program);
int64_t tensor_blocks(const TileProgram *program);
const TileOp *tensor_factor(const TileProgram *program, int k);   // the load of the rows' factor (1), or the lanes' (2)
uint32_t sum_loop(const TileProgram *program);   // the outermost loop of the sum: the first one in the tile

typedef struct {
    bool is_rows;                // else it is of lanes
    TileValue load;
    uint32_t loop;               // rows or lanes
    int extent;                  // of the tile
    int element, wide;           // bytes of one, in memory and here; how many are 16 bytes
    bool by_depth;               // lines are summed indices, not rows
    bool is_whole;               // 16 bytes are side by side in memory, and begin at a multiple of 16
    int lines, across;           // in shared memory: lines, elements of each
    int pitch, bytes;            // bytes of a line, with what lies behind it, and of all
    bool is_placed;              // it lies there already, in lines of `pitch` bytes: no copies, and no bytes of a stage
} Panel;

typedef struct {
    TileValue loops[MAX_RANK];   // the sum's, outermost first
    int loop_count;
    uint32_t multiply;
    Panel panels[2];             // rows, lanes
    int stage_bytes;
    bool masks_rows;             // the band's other index moves with rows: elements outside of it are zeros
} Summing;

Summing summing_of(Printer *printer, uint32_t loop);              // of the outermost loop of the sum
void print_steps(Printer *printer, const Summing *summing);       // how many stages there are, and where they begin
void print_stage(Printer *printer, const Summing *summing);       // begins to copy stage `ahead`
// Whether an address moves by 1 while the loop's index goes over `wide` elements from a multiple of so many, and begins
// at such a multiple then.
bool moves_by_whole(const Printer *printer, const TileIndex *index, TileValue loop, int wide);
// Where an element lies, for loops' indices in scope: what its address is computed of is printed anew, where that has a
// shape of `anew`, or stands behind operation `inside`.
const char *print_element(Printer *printer, const TileOp *access, uint32_t inside, uint8_t anew);
void print_tensor(Printer *printer);
void print_exchange(Printer *printer, TileValue sums);           // four lanes side by side (tensor.cu)
// The loops around the tile that `Tensor.number` counts; returns the innermost one. What stands between them comes
// along, and how many rows there are, but with wgmma: those who do not multiply have no part of the tile.
uint32_t print_tiles(Printer *printer);
void print_between_tiles(Printer *printer);
// Rounds of a loop around the tile that are blocks of their own.
int64_t tensor_rounds(const TileOp *loop);

// ---- print_fours.c: of a nest of vectors

bool goes_by_fours(const Printer *printer, uint32_t number);     // a load or a store
bool has_fours(const Printer *printer, uint32_t begin, uint32_t end);
void open_fours(Printer *printer, uint32_t begin, uint32_t end);
void close_fours(Printer *printer, uint32_t begin, uint32_t end);

// ---- wgmma

// A factor as a tensor of boxes: coordinate i is where the loop loops[i] is.
typedef struct {
    TileValue loops[CUDA_MAP_RANK];
    CudaMap map;
    bool by_depth;               // rows (or lanes) are side by side, not summed indices
    int extent, bytes;           // of the tile's rows or lanes; in shared memory, of a stage
    int boxes;                   // of a stage: 64 rows each by depth, else one
} BoxPanel;

// Of the rows' factor and the lanes'; BUG where one cannot be copied so (see ir/plan_boxes.c).
void box_panels(const TileProgram *program, BoxPanel panels[2]);
void print_warpgroup(Printer *printer);
// Rows and lanes of the block's tile: blocks side by side share what they read. False: another loop, nothing is done.
bool print_raster(Printer *printer, uint32_t loop);
// From loop `first` on, as tile `Tensor.number` has them.
uint32_t print_tiles_from(Printer *printer, uint32_t first);
void print_own_part(Printer *printer);        // which rows and lanes of a tile a thread has
void print_stage_products(Printer *printer, const Summing *summing);   // the stage that lies behind `ahead` in the ring

// ---- products of a chain
// The tensor of a chain's product for blocks of so many warps. `is_shared`: by buffer.
Tensor tensor_in_chain(Arena *arena, const TileProgram *program, const Spread *spread, const bool *is_shared,
                       int warps);
int tensor_stage_bytes(Arena *arena, const TileProgram *program, const Spread *spread, const Tensor *tensor);
// All tiles of `piece`; where the ring is in shared memory. `is_filled`: print_first_stages has been there before.
void print_turns(Printer *printer, size_t ring, bool is_filled);
void print_first_stages(Printer *printer, size_t ring);
void find_placed(const Printer *printer, const Summing *summing, Panel *panel);   // whether it lies in shared memory
// Where stage `Tensor.at` is: `depth`, and the outer loops.
void print_stage_place(Printer *printer, const Summing *summing);
void print_placed(Printer *printer, const Summing *summing);  // `rows_panel` of the stage at `step`
void print_placed_fragments(Printer *printer, const Summing *summing, const char *own_rows);
const TileOp *depth_loop(const Printer *printer, const Summing *summing);

#endif
