// The Plan: the step as a list of boxes with layouts, pieces, edges and memory. The last thing that knows ops.
//
//     value  %3 temporary f32[B,T,C] @ (B, T, C) arena+4096
//     step 7 row "layernorm" at "layer[0].a" tiles cut(B,T)/4 wait
//       in %1 same, %2 none   out %3
//       region { ... graph text ... }
//
// draw_boxes makes it from a Graph; the later passes fill in layouts, engines, pieces, edges and offsets in place.
#ifndef SINTER_IR_PLAN_H
#define SINTER_IR_PLAN_H

#include "ir/graph.h"

// ---- layout: dense memory order of a value, outermost piece first. A piece is
//     flat(dims) / divisor % extent,   flat = row-major index over the listed dims
// so `W[C,F] @ (F/32, C, F%32)` is {(F),32,F/32} {(C),1,C} {(F),1,32}. A piece that does not divide evenly is padded;
// padding holds zeros in states and in what a map writes, and nothing is computed from it.
typedef struct {
    DimList dims;
    int64_t divisor, extent;
} LayoutPiece;

typedef struct {
    uint8_t count;
    LayoutPiece pieces[MAX_RANK + 2];
} Layout;

Layout layout_plain(const Graph *dims, DimList order);   // one piece per dim
bool layout_is_plain(const Graph *dims, const Layout *layout);
int64_t layout_elements(const Layout *layout);           // padding included
bool layout_equal(const Layout *a, const Layout *b);
// Element offset of the value at `index` (index[d] for every dim of the layout).
int64_t layout_offset(const Graph *dims, const Layout *layout, const int64_t *index);

// ---- bands: which elements along two dims matter
// Those with low <= index of column - index of row <= high. An open end is -BAND_OPEN or BAND_OPEN.
#define BAND_OPEN ((int64_t)1 << 40)
typedef struct {
    bool is_set;
    DimId row, column;
    int64_t low, high;
} Band;

// ---- values: what crosses box edges
typedef uint32_t ValueId;
#define VALUE_NONE UINT32_MAX
typedef enum {
    VALUE_INPUT,      // written by the runtime before each run
    VALUE_STATE,      // kept between runs
    VALUE_TEMPORARY,  // lives from its step to its last reader
    VALUE_OUTPUT      // like temporary, but kept to the end of the run (unless next_of is set)
} ValueKind;
// scratch: each thread has its own; it holds one piece of a value that lives only inside a strand.
typedef enum { SPACE_STATE, SPACE_ARENA, SPACE_SCRATCH } Space;

typedef struct {
    ValueKind kind;
    const char *name;      // leaf or output name; for temporaries the spec name or NULL
    DType dtype;           // storage type
    DimList order;
    Layout layout;
    uint32_t parts;        // > 1: the value is the sum of so many, in ascending order, each in this layout, one after
                           // the other in memory
    Band band;             // TEMPORARY: elements outside of it need not be written
    const Leaf *leaf;      // INPUT, STATE; NULL else
    bool is_param;         // STATE: a PARAM leaf
    bool is_copy;          // STATE: no tensor of its own: what the param of that leaf holds, in another layout or type;
                           // whoever writes the param writes it too
    ValueId next_of;       // OUTPUT: the state whose next value this is (then same layout); VALUE_NONE else
    bool in_place;         // next_of: written over the state's own memory
    uint32_t rounds;       // > 1: TEMPORARY that steps of so many rounds alone touch; one of them lies in memory
    bool is_over;          // TEMPORARY: written over an operand of its step, which nobody reads later:
    ValueId over;
    Space space;
    size_t offset, bytes;  // bytes: multiple of 64; of one piece in SPACE_SCRATCH, of one round with rounds
} Value;

// ---- boxes
typedef enum { FORM_MAP, FORM_ROW, FORM_PRODUCT, FORM_SWEEP } Form;
typedef enum { ENGINE_TILES, ENGINE_BLAS } Engine;   // blas: OpenBLAS, on a GPU cuBLASLt

// Products on a GPU's tensor cores: what the operands are rounded to. Sums are f32 in any case.
typedef enum { TENSOR_NONE, TENSOR_TF32, TENSOR_BF16, TENSOR_F16 } TensorKind;
// A block of threads makes `rows` by `lanes` of the output; its operands pass through shared memory, 128 bytes of the
// sum at a time, in a ring of so many stages. A backend without tensor cores takes the register tile. A library's
// product has the kind alone.
// wgmma (sm_90a): one warpgroup copies boxes of both operands, which are bf16 in memory (TMA), the others multiply: 64
// rows each, of 256 rows 128; in turns, each of two has a tile of its own, and one is stored while the other is
// multiplied (see plan_boxes.c for what boxes can be copied).
typedef struct {
    TensorKind kind;               // TENSOR_NONE: no tensor cores, and the rest is 0
    uint32_t rows, lanes, stages;
    bool wgmma, in_turns;
} TensorTile;
// none: ready before the run (input, state). same: piece k needs only piece k of the producer. all: needs every piece.
typedef enum { EDGE_NONE, EDGE_SAME, EDGE_ALL } EdgeKind;

// How a step's rows are cut: piece k of `pieces` covers flat rows [total*k/pieces, total*(k+1)/pieces) of `dims`.
// With groups, pieces/groups successive pieces are one group, which one thread runs in ascending order. Then a step may
// also sum over the last ones of the cut's dims: each piece adds to what the piece before it left.
//     gradient of weights, cut(B):           outputs have no B; each group has a part of the output of its own
//     gradient of keys, cut(B,H,T):          outputs have B and H; a group has all pieces of its (B,H), and no parts
// A cut with groups along several dims is in equal pieces, each a range of the last dim at one place of the others.
//
// Successive steps with `rounds`, all of one number, run round after round: all threads run one round's pieces of each
// step, then those of the next round. `over` are rows: round r has the r-th of `rounds` equal ranges of them. A step
// whose outputs have them is cut along them, and pieces/rounds successive pieces are one round. A product that sums
// over them is cut along its own rows; it runs all of its pieces in each round and goes on with the sums where the
// round before left them.
//     logits of 1024 rows, their loss and gradients, cut(B,T)/4 rounds 2 over(B,T): rows 0..511, then 512..1023
//     gradient of the vocabulary's weights, cut(V)/2 rounds 2 over(B,T): both pieces in each round
typedef struct {
    DimList dims;          // in the order of the flat rows; empty: one piece
    int64_t total;         // product of their extents, 1 when empty
    uint32_t pieces, groups;   // groups 0: every piece by itself
    uint32_t rounds;       // 0: none
    DimList over;
} Cut;

typedef struct {
    const char *label, *place;     // for reports: "layernorm", "layer[0].a"
    Form form;
    Engine engine;
    Graph *region;                 // OPERAND k is operands[k]; region output k is outputs[k]; order = value order
    uint32_t operand_count, output_count;
    ValueId *operands, *outputs;
    EdgeKind *edges;               // one per operand
    DimSet inner;                  // ROW: the reduced dims (all reductions inside reduce over a subset of these);
                                   // SWEEP: the swept dim
    Band band;                     // tiles outside of it are left out: results that nobody needs, zeros in sums
    Cut cut;
    bool wait;                     // all threads must have finished every earlier step
    bool joined;                   // of one strand with the step before
    bool chained;                  // and of one chain inside of it
    uint32_t tile_rows, tile_lanes;  // PRODUCT by tiles: register tile; ROW, MAP: 0
    TensorTile tensor;             // PRODUCT and SWEEP, on a GPU; of a sweep: its block's rows, columns of a tile
    double flops, bytes;           // model: true flops of the region (multiply-add = 2), bytes of operands + outputs
} Step;

typedef struct {
    Arena *arena;
    const Graph *dims;             // the graph the plan was drawn from: dims, leaves, groups
    uint32_t value_count, step_count;
    Value *values;
    Step *steps;
    size_t arena_bytes, state_bytes;  // exact; filled by plan_memory
    size_t scratch_bytes;          // of each thread
    bool is_persistent;            // on a GPU: its steps are one kernel, or few, with barriers of the whole grid
    size_t workspace_bytes;        // at the arena's end: what a GPU's library products work in, one after the other
    const ValueId *value_of;       // by node of `dims`: the value that holds it, VALUE_NONE: none. NULL: read from text
} Plan;

// One more value, the last one. *capacity: how many there is room for; before the first call plan->value_count.
ValueId plan_add_value(Plan *plan, size_t *capacity, Value value);

// By value: the step that writes it, and the last one that reads it; STEP_NONE of inputs and states, and of what nobody
// reads.
#define STEP_NONE UINT32_MAX
bool step_reads(const Step *step, ValueId value);
uint32_t *plan_writers(const Plan *plan, Arena *arena);
uint32_t *plan_last_readers(const Plan *plan, Arena *arena);
// By step: its epoch, how many times all threads have met before it. Steps of one epoch may run at the same time. One
// more is behind the last step's: that again.
uint32_t *plan_epochs(const Plan *plan, Arena *arena);

// Strands: a step and the `joined` ones that follow it, all of one cut, with `same` edges between them. A thread runs
// them piece by piece: piece k of every step, then piece k+1, so that what one hands to the next is still in its cache.
// A temporary that only one strand writes and reads, and whose memory order the cut's dims lead, lies in SPACE_SCRATCH:
//     element address = scratch of the thread + offset + (layout offset - first layout offset of the piece)
//
// Chains inside of strands: a step of a strand may have a finer cut than the first one has, and the `chained` ones that
// follow it have the same. Within each piece of the strand a thread runs them range by range, in order, before it goes
// on with the strand's next step. What only the chain reads lies in SPACE_SCRATCH one range at a time.
//     cut(B)/4  cut(B,H,T)/96  cut(B,H,T)/96 chained  cut(B)/4      piece k, 24 times both of the chain, then piece k
uint32_t plan_strand_end(const Plan *plan, uint32_t first);  // the step after the last one of the strand of `first`
// Whether the step is of a strand of several.
bool plan_in_strand(const Plan *plan, uint32_t step);
uint32_t plan_chain_end(const Plan *plan, uint32_t first);   // and after the last one chained to it
bool cut_equal(const Cut *a, const Cut *b);
// Whether pieces of `coarse` are so many pieces of `fine` each, one behind the other, in the same groups.
bool cut_refines(const Cut *fine, const Cut *coarse);
// By step: the first one of its strand, and of its chain inside of that; the step itself when it is in none.
typedef struct {
    uint32_t strand, chain;
} StepNest;
StepNest *plan_nest(const Plan *plan, Arena *arena);
// The cut piece by piece of which step `to` comes behind step `from`, in every thread: their chain's, when they share
// one, else that of their strands. NULL: the two are cut otherwise.
const Cut *plan_shared_cut(const Plan *plan, const StepNest *nest, uint32_t from, uint32_t to);
// By value: the cut of which SPACE_SCRATCH holds one piece at a time, the chain's when only that reads it. NULL
// elsewhere.
const Cut **plan_windows(const Plan *plan, const StepNest *nest, Arena *arena);
// How many of the cut's dims, the first ones, a step's outputs have. The others it sums over, piece by piece.
int cut_kept(const Plan *plan, const Step *step);
bool cut_is_summed(const Plan *plan, const Step *step);
// The step after the last one that runs round by round with `first`; first + 1 when it has no rounds.
uint32_t plan_rounds_end(const Plan *plan, uint32_t first);
// Whether a step with rounds is a product that sums over their rows.
bool cut_sums_rounds(const Plan *plan, const Step *step);
// A cut in ranges of its last dim: rows of a piece, and pieces for each place of the other dims.
typedef struct {
    int64_t rows, pieces;
} CutRanges;
// False unless it has several dims, groups, and pieces that are such ranges.
bool cut_in_ranges(const Graph *dims, const Cut *cut, CutRanges *ranges);
// Whether a cut's pieces are equal contiguous ranges of the layout, in multiples of 64 bytes.
bool cut_leads_layout(const Graph *dims, const Cut *cut, const Layout *layout, DType dtype);
// Whether a cut's rounds are equal contiguous ranges of the layout, and the bytes of one.
bool cut_rounds_lead(const Graph *dims, const Cut *cut, const Layout *layout);
size_t value_round_bytes(const Value *value);

// What a copy of a param is called: "w in (C/32, F, C%32)", "w in bf16 (C, F)".
const char *copy_name(Arena *arena, const Graph *dims, const char *param, DType dtype, const Layout *layout);

const char *form_name(Form form);
// Products and sweeps: what they do is multiply and add.
static inline bool form_multiplies(Form form) { return form == FORM_PRODUCT || form == FORM_SWEEP; }
const char *engine_name(Engine engine);
const char *tensor_name(TensorKind kind);   // "tf32"; "none"
const char *tensor_words(const TensorTile *tile);   // who multiplies: "", " wgmma", " wgmma turns"
enum { TENSOR_KINDS = TENSOR_F16 + 1 };

void plan_print(const Plan *plan, Text *out);
Plan *plan_parse(Arena *arena, const char *file, const char *source, Diags *diags);
// NULL when sound: regions verify, operands come from earlier steps or leaves, shapes agree, region fits its form, ...
const char *plan_verify(const Plan *plan, Arena *arena);
// Evaluates a plan by the float64 reference, box after box: its meaning. value_results[v] gets the values of v.
// (Used to check a Plan against the Graph it was drawn from.)
bool plan_reference(const Plan *plan, Arena *arena,
                    const double *(*bind)(void *context, const Leaf *leaf, DimList order), void *context,
                    double **value_results);

// ---- what passes and codegen both need to see in a region

// Affine access of `node` (of a region) in a stored operand through RENAME, PREFIX, SELECT, SPLIT and MERGE only:
// element address = offset + sum index[d] * stride[d] over the dims of `node`. False when it is not of that shape.
typedef struct {
    uint32_t operand;              // box operand number
    int64_t offset;                // elements
    int64_t stride[MAX_DIMS];      // by dim; 0 where the node lacks the dim
} View;
bool node_is_view(const Graph *region, NodeId node);   // an operand, through these only
bool view_of(const Graph *region, NodeId node, const Layout *const *operand_layouts, View *view);

// A contraction seen as batched matrix product: out[batch, rows, lanes] = sum over summed of a * b.
// `lanes` belong to the operand that owns the innermost non-batch dim of the output order. rows, lanes and batch are in
// output order; summed is in ascending dim id: the order of the multiply-add chain.
typedef struct {
    NodeId node, rows_operand, lanes_operand;
    DimList batch, rows, lanes, summed;
} Contraction;
Contraction contraction_of(const Graph *region, NodeId contract, DimList output_order);
// Whether both factors of a product can be copied in boxes, as wgmma wants them (plan_boxes.c); NULL: they can.
const char *step_box_refusal(const Plan *plan, const Step *step);

// A sweep: products of products. For some rows, tile after tile of the swept dim: inner products make a tile, something
// is computed of it, outer products multiply it on and sum it up over the swept dim. Tiles are never in memory.
//     y[B,T,H,D] = sum(S) exp(s - lse) * v[B,S,H,D]     s[B,H,T,S] = sum(D) q[B,T,H,D] * k[B,S,H,D]     lse = lse(S) s
//     ->  rows T, swept S, places (B,H), inner {s}, outer {y}; lse may be an output beside y
// lse is that of the tiles so far while it is computed (Milakov and Gimelshein, "Online normalizer calculation for
// softmax", 2018), so what is multiplied on must be a multiple of exp(s - lse), and nothing else may depend on it.
enum { SWEEP_MOST = 2 };
typedef struct {
    DimId rows, swept;
    DimList places;                // the tile's other dims, in the order of the first inner product, but for
    DimList shared;                // what outer products sum over besides: heads that share keys, in keys' gradient
    NodeId inner[SWEEP_MOST], outer[SWEEP_MOST];
    NodeId inner_rows[SWEEP_MOST], inner_lanes[SWEEP_MOST];   // factors: views with rows, and with the swept dim
    NodeId outer_tile[SWEEP_MOST], outer_lanes[SWEEP_MOST];   // what is computed of the tile, and a view
    DimId inner_summed[SWEEP_MOST], lanes[SWEEP_MOST];        // summed by inner products; of outer results
    int inner_count, outer_count;
    NodeId lse, exponential;       // lse(S) x and exp(x - lse); NODE_NONE: none
} Sweeping;
// NULL, or what the region of a step that sweeps over `inner` lacks.
const char *sweep_of(const Step *step, Arena *arena, Sweeping *sweep);
// Whether its factors can be copied 16 bytes at a time as they lie, and its tiles are whole; NULL: they can.
const char *step_sweep_refusal(const Plan *plan, const Step *step);

// A scatter is the one output of its region.
typedef struct {
    NodeId scatter, base;          // NODE_NONE: none; a scatter without a base adds to zeros
} Scattering;
Scattering scattering_of(const Graph *region);

#endif
