// Affine indices as text.
//
//     [64*r.0 + s.2 + 3]    r plain, s lanes    ->    64*r_0 + s_2i + 3
//
// A loop's variable is its name and number; of rows and lanes loops it is the tile's first index, and the index of the
// part in scope has an `i` behind: s_2i = s_2 + 16*v + lane.
#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

const char *loop_base(const Printer *printer, TileValue loop) {
    if (printer->is_nameless) return arena_format(printer->arena, "i_%u", loop);
    Text name = text_create(printer->arena);
    for (const char *c = printer_op(printer, loop)->name; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9' && name.length);
        text_append(&name, "%c", plain ? *c : '_');
    }
    text_append(&name, "_%u", loop);
    return text_string(&name);
}

const char *loop_element(const Printer *printer, TileValue loop) {
    const char *base = loop_base(printer, loop);
    LoopKind kind = printer_op(printer, loop)->loop;
    bool is_tile = printer->tensor || loop_tile(printer_op(printer, loop)) > 1;
    bool moves = kind == LOOP_LANES || (kind == LOOP_ROWS && is_tile);
    return moves ? arena_format(printer->arena, "%si", base) : base;
}

static const char *row_text(const Printer *printer, TileValue loop, IndexStyle style) {
    const char *base = loop_base(printer, loop);
    if (style == INDEX_FIRST_ROW) return base;
    if (printer->row_count) return arena_format(printer->arena, "(%s + %s - 1)", base, printer->row_count);
    if (printer->rows == 1) return base;
    int rows = printer->tensor ? (int)printer->tensor->tile.rows : printer->rows;
    return arena_format(printer->arena, "(%s + %d)", base, rows - 1);
}

static const char *term_text(const Printer *printer, TileValue value, IndexStyle style) {
    const TileOp *op = printer_op(printer, value);
    bool of_rows = style == INDEX_FIRST_ROW || style == INDEX_LAST_ROW;
    if (!of_rows || !(printer->shapes[value] & SHAPE_ROWS)) return value_text(printer, value);
    if (op->kind == TILE_LOOP) return row_text(printer, value, style);
    if (op->kind == TILE_INDEX) return arena_format(printer->arena, "(%s)", index_text(printer, &op->index, style));
    BUG("a bound of a loop is computed row by row");
}

// A number with the suffix of the arithmetic that is meant.
static void append_number(Text *text, int64_t number, IndexStyle style) {
    if (style == INDEX_UNSIGNED)
        text_append(text, "%uu", (unsigned)number);
    else
        text_append(text, style == INDEX_WIDE ? "%lldll" : "%lld", (long long)number);
}

const char *index_text(const Printer *printer, const TileIndex *index, IndexStyle style) {
    Text text = text_create(printer->arena);
    for (int i = 0; i < index->count; i++) {
        int64_t coefficient = index->terms[i].coefficient;
        if (coefficient == 0) continue;
        if (text.length) text_append(&text, " + ");
        if (coefficient != 1 || style == INDEX_WIDE || style == INDEX_UNSIGNED) {
            append_number(&text, coefficient, style);
            text_append(&text, "*");
        }
        const char *term = term_text(printer, index->terms[i].value, style);
        text_append(&text, style == INDEX_UNSIGNED ? "(unsigned)%s" : "%s", term);
    }
    if (text.length && index->constant == 0) return text_string(&text);
    if (text.length) text_append(&text, " + ");
    append_number(&text, index->constant, style);
    return text_string(&text);
}

// In 64 bits where a part of the sum might not fit in 32.
const char *address_text(const Printer *printer, const TileIndex *index) {
    int64_t reach = index->constant < 0 ? -index->constant : index->constant;
    for (int i = 0; i < index->count; i++) {
        TileIndex term = {.count = 1, .terms = {index->terms[i]}};
        TileRange range = tile_index_range(&term, printer->ranges);
        reach += range.high > -range.low ? range.high : -range.low;
    }
    return index_text(printer, index, reach > INT32_MAX ? INDEX_WIDE : INDEX_SIGNED);
}
