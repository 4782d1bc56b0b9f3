// A product's rows that lie in the shared memory of a chain -> fragments, read from where they lie.
//
//     %4 = load b1[1032*T.9 + S.13]     T rows, S summed, b1 in shared memory
//       ->  const unsigned char *rows_panel = (const unsigned char *)(b1 + (1032*T_9i + S_13));    of the first row
//           placed_rows_f32_bf16(a[i], rows_panel, 4128, 16 * i, part);
//
// That is so where an address moves evenly over the whole tile, and the tile has no rows that are not there. What lies
// behind the sum's end, or outside of a band, may be anything: these elements of a fragment become zeros.
#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

// ---- which

typedef struct {
    bool known;
    int64_t step;
} Pace;

// By how much a value moves with the loop; not known where it does not move evenly.
static Pace pace_of(const Printer *printer, TileValue value, TileValue loop);

static Pace index_pace(const Printer *printer, const TileIndex *index, TileValue loop) {
    Pace sum = {true, 0};
    for (int i = 0; i < index->count && sum.known; i++) {
        Pace term = pace_of(printer, index->terms[i].value, loop);
        sum.known = term.known;
        sum.step += index->terms[i].coefficient * term.step;
    }
    return sum;
}

static Pace pace_of(const Printer *printer, TileValue value, TileValue loop) {
    const TileOp *op = printer_op(printer, value);
    if (value == loop) return (Pace){true, 1};
    if (op->kind == TILE_INDEX) return index_pace(printer, &op->index, loop);
    for (int k = 0; k < op->operand_count; k++) {
        Pace operand = pace_of(printer, op->operands[k], loop);
        if (!operand.known || operand.step != 0) return (Pace){0};
    }
    return (Pace){op->kind == TILE_CONST || op->kind == TILE_LOOP || op->kind == TILE_MAP, 0};
}

// Whether 16 bytes are side by side and begin at a multiple of 16, whatever a band cuts off: what moves over `wide`
// elements begins at a multiple of so many, as all other terms do.
static bool is_even(const TileIndex *index, TileValue contiguous, int wide) {
    if (index->constant % wide) return false;
    for (int i = 0; i < index->count; i++) {
        bool is_contiguous = index->terms[i].value == contiguous;
        int64_t coefficient = index->terms[i].coefficient;
        if (is_contiguous ? coefficient != 1 : coefficient % wide != 0) return false;
    }
    return true;
}

void find_placed(const Printer *printer, const Summing *summing, Panel *panel) {
    const Tensor *tensor = printer->tensor;
    const TileOp *load = printer_op(printer, panel->load), *rows = printer_op(printer, panel->loop);
    if (!panel->is_rows || !tensor->is_shared || !tensor->is_shared[load->buffer] || rows->extent % rows->step) return;
    TileValue depth = summing->loops[summing->loop_count - 1], contiguous = panel->by_depth ? panel->loop : depth;
    Pace pace = index_pace(printer, &load->index, panel->by_depth ? depth : panel->loop);
    Pace along = index_pace(printer, &load->index, contiguous);
    if (!pace.known || !along.known || along.step != 1 || pace.step <= 0) return;
    if (!is_even(&load->index, contiguous, panel->wide)) return;
    panel->is_placed = true;
    panel->pitch = (int)pace.step * panel->element;
    panel->bytes = 0;
}

// ---- where

void print_placed(Printer *printer, const Summing *summing) {
    const Panel *panel = &summing->panels[0];
    print_stage_place(printer, summing);
    print_line(printer, "const unsigned char *rows_panel;");
    print_line(printer, "{");
    print_line(printer, "const int %s = %s, %s = depth;", loop_element(printer, panel->loop),
               loop_base(printer, panel->loop), loop_base(printer, summing->loops[summing->loop_count - 1]));
    const char *first =
        print_element(printer, printer_op(printer, panel->load), summing->loops[0], SHAPE_ROWS | SHAPE_LANES);
    print_line(printer, "rows_panel = (const unsigned char *)(%s);", first);
    print_line(printer, "}");
}

// ---- what is kept

// The first summed index of a row, or the one behind its last one; `style`: of which row. NULL: of the whole sum.
static const char *bound_text(const Printer *printer, const Summing *summing, IndexStyle style, bool is_end) {
    const TileOp *loop = depth_loop(printer, summing);
    if (!summing->masks_rows || (is_end ? loop->high >= BAND_OPEN : loop->low <= -BAND_OPEN)) return NULL;
    long long constant = is_end ? (long long)loop->high + 1 : (long long)loop->low;
    return arena_format(printer->arena, "%s + %lld", index_text(printer, &loop->index, style), constant);
}

static const char *begin_text(const Printer *printer, const Summing *summing, IndexStyle style) {
    const char *bound = bound_text(printer, summing, style, false);
    return bound ? bound : "0";
}

static const char *end_text(const Printer *printer, const Summing *summing, IndexStyle style) {
    const TileOp *loop = depth_loop(printer, summing);
    const char *end = loop->bounded ? "end" : arena_format(printer->arena, "%lld", (long long)loop->extent);
    const char *bound = bound_text(printer, summing, style, true);
    return bound ? arena_format(printer->arena, "int_minimum(%s, %s)", end, bound) : end;
}

static bool is_always_whole(const Printer *printer, const Summing *summing) {
    const TileOp *loop = depth_loop(printer, summing);
    return !loop->bounded && loop->extent % printer->tensor->depth == 0;
}

static void print_cut(Printer *printer, const Summing *summing, const char *own_rows) {
    const Tensor *tensor = printer->tensor;
    const char *base = loop_base(printer, printer->rows_loop), *element = loop_element(printer, printer->rows_loop);
    print_line(printer, "if (depth < %s || depth + %d > %s) {", begin_text(printer, summing, INDEX_LAST_ROW),
               tensor->depth, end_text(printer, summing, INDEX_FIRST_ROW));
    print_line(printer, "UNROLL");
    print_line(printer, "for (int i = 0; i < %d; i++) {", 2 * tensor->row_tiles);
    print_line(printer, "const int %s = %s + %s + 8 * i + (WARP_LANE >> 2);", element, base, own_rows);
    print_line(printer, "keep_%s(a[i / 2], i %% 2, %s - depth, %s - depth, part);", tensor_name(tensor->tile.kind),
               begin_text(printer, summing, INDEX_SIGNED), end_text(printer, summing, INDEX_SIGNED));
    print_line(printer, "}");
    print_line(printer, "}");
}

void print_placed_fragments(Printer *printer, const Summing *summing, const char *own_rows) {
    const Panel *panel = &summing->panels[0];
    const Tensor *tensor = printer->tensor;
    bool is_rounded = panel->element == 4 && tensor->tile.kind != TENSOR_TF32;
    print_line(printer, "UNROLL");
    print_line(printer, "for (int i = 0; i < %d; i++)", tensor->row_tiles);
    print_line(printer, "    placed_%s_%s%s(a[i], rows_panel, %d, %s + 16 * i, part);",
               panel->by_depth ? "columns" : "rows", is_rounded ? "f32_" : "", tensor_name(tensor->tile.kind),
               panel->pitch, own_rows);
    if (!is_always_whole(printer, summing)) print_cut(printer, summing, own_rows);
}
