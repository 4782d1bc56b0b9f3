// The factors of a product as tensors whose boxes are copied (TMA), from their addresses.
//
//     rows BT 768 step 128 ... loop C 512:  load b0[512*BT.0 + C.4]
//       ->  dims (C, BT), extents 512 and 768, lines 1024 bytes apart, boxes of 64 by 128
//
// The first dim is what lies side by side: the innermost loop of the sum, or the tile's rows (lanes), and then a box
// has 64 of these, a line of 128 bytes for each summed index. Every other loop that the address moves with is a dim of
// its own, one element of it in a box.
#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

enum { BOX_BYTES = 16 }; // what tensors begin at, and are at, multiples of

typedef struct {
    const TileProgram *program;
    TileValue own, depth; // rows or lanes; the innermost loop of the sum
    const TileOp *load;
} Factor;

static uint32_t multiply_of(const TileProgram *program) {
    uint32_t multiply = 0;
    while (program->ops[multiply].kind != TILE_MULTIPLY_ACCUMULATE)
        multiply++;
    return multiply;
}

static TileValue find_loop(const TileProgram *program, LoopKind kind, uint32_t before) {
    for (uint32_t i = before; i-- > 0;)
        if (program->ops[i].kind == TILE_LOOP && program->ops[i].loop == kind) return i;
    BUG("%s has no such loop", program->name);
}

static int64_t coefficient_of(const Factor *factor, TileValue loop) {
    for (int i = 0; i < factor->load->index.count; i++)
        if (factor->load->index.terms[i].value == loop) return factor->load->index.terms[i].coefficient;
    BUG("a factor of %s does not move with both of its loops", factor->program->name);
}

static void add_dim(const Factor *factor, BoxPanel *panel, TileValue loop, int64_t stride, uint32_t box) {
    const TileOp *op = &factor->program->ops[loop];
    uint32_t at = panel->map.rank++;
    if (op->kind != TILE_LOOP || stride <= 0 || at >= CUDA_MAP_RANK)
        BUG("a factor of %s is no tensor of boxes", factor->program->name);
    panel->loops[at] = loop;
    panel->map.extents[at] = (uint64_t)op->extent;
    panel->map.strides[at] = (uint64_t)stride * dtype_bytes(DTYPE_BF16);
    panel->map.box[at] = box;
}

static BoxPanel panel_of(const Factor *factor, int extent) {
    const TileIndex *index = &factor->load->index;
    BoxPanel panel = {.extent = extent, .bytes = extent * TENSOR_LINE};
    panel.map.buffer = (uint32_t)factor->load->buffer;
    panel.map.offset = (uint64_t)index->constant * dtype_bytes(DTYPE_BF16);
    int64_t by_own = coefficient_of(factor, factor->own), by_depth = coefficient_of(factor, factor->depth);
    uint32_t line = TENSOR_LINE / dtype_bytes(DTYPE_BF16);
    panel.by_depth = by_own == 1;
    if (panel.by_depth) {
        panel.boxes = extent / (int)line;
        add_dim(factor, &panel, factor->own, 1, line);
        add_dim(factor, &panel, factor->depth, by_depth, line);
    } else {
        if (by_depth != 1) BUG("a factor of %s has nothing side by side", factor->program->name);
        panel.boxes = 1;
        add_dim(factor, &panel, factor->depth, 1, line);
        add_dim(factor, &panel, factor->own, by_own, (uint32_t)extent);
    }
    for (int i = 0; i < index->count; i++) {
        TileValue value = index->terms[i].value;
        if (value == factor->own || value == factor->depth || index->terms[i].coefficient == 0) continue;
        add_dim(factor, &panel, value, index->terms[i].coefficient, 1);
    }
    for (uint32_t i = 1; i < panel.map.rank; i++)
        if (panel.map.strides[i] % BOX_BYTES != 0)
            BUG("a factor of %s is not at multiples of 16 bytes", factor->program->name);
    CHECK(panel.map.offset % BOX_BYTES == 0);
    return panel;
}

void box_panels(const TileProgram *program, BoxPanel panels[2]) {
    uint32_t multiply = multiply_of(program);
    TileValue depth = find_loop(program, LOOP_PLAIN, multiply);
    for (int p = 0; p < 2; p++) {
        const TileOp *load = &program->ops[program->ops[multiply].operands[1 + p]];
        TileValue own = find_loop(program, p == 0 ? LOOP_ROWS : LOOP_LANES, multiply);
        Factor factor = {program, own, depth, load};
        if (load->kind != TILE_LOAD || program->buffers[load->buffer].dtype != DTYPE_BF16)
            BUG("a factor of %s is not bf16 in memory", program->name);
        panels[p] = panel_of(&factor, (int)(p == 0 ? program->tensor.rows : program->tensor.lanes));
    }
}
