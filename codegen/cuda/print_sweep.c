// A sweep -> the text of its kernel: products of products, tile after tile, for the rows of a block.
//
//     rows of the inner products' factors -> registers
//     for (int ahead = 0; ahead < tiles + 1; ahead++) {             a ring of stages: what all products read of a tile
//         if (ahead >= 1) { copies_wait(0); block_barrier(); }
//         if (ahead < tiles) { copy }
//         copies_end();
//         if (ahead < 1) continue;
//         const int S_5 = begin + 64 * (ahead - 1);
//         multiply rows with columns                    v6: the tile, in the registers of fragments
//         ... peak[r] = fmaxf(peak[r], v9);     the tile's program
//         find the limit so far, scale what is summed up
//         ... sum[r] += v12;   factor0[r][v] = v12;
//         multiply factor0 with columns                 outer0
//     }
//     outer0 / sum, its epilogue, stores
//
// A warp has 16 or 32 rows and all columns of a tile, so what is found of a row stays in four threads. Sums that
// mma.sync leaves in registers are just what it takes as the next product's factor, rounded: no tile is in shared
// memory. A factor that several products read is copied once.
//
// Method: Dao, "FlashAttention-2" (2023); but gradients by rows and by columns are kernels of their own, so that
// nothing is added by atomics.
#include <string.h>

#include "base/diag.h"
#include "base/hash.h"
#include "codegen/cuda/sweep.h"

enum { TILE_ROWS = 16, FEW_REGISTERS = 150, PAIR_REGISTERS = 176, HALF_BYTES = 2, WIDE = 8, RESIDENT_WARPS = 8 };
enum { SHORT_PITCH = 64, LINE = 128 };

typedef struct {
    Printer printer; // of the tile's program
    const SweepProgram *sweep;
    const SweepShape *shape;
    const char *symbol, *kind;      // "bf16"
    uint32_t rows, shared, columns; // loops of the tile's program
} SweepPrinter;

// ---- how a block does it

// Of a thread: what the tiles of one warp, 16 rows high, take.
static int registers_of(const SweepProgram *sweep) {
    const Sweeping *sweeping = &sweep->sweeping;
    int columns = (int)sweep->tensor.lanes, registers = 0;
    for (int k = 0; k < sweeping->inner_count; k++)
        registers += columns / 2 + sweep->rows[k].width / 4;
    for (int k = 0; k < sweeping->outer_count; k++)
        registers += sweep->columns[sweep->outer_columns[k]].width / 2;
    return registers;
}

// Bytes of a line in shared memory: its pieces of 16 bytes change places within 64 or 128.
static int pitch_of(const SweepPanel *panel) {
    int bytes = HALF_BYTES * panel->width;
    return bytes <= SHORT_PITCH ? SHORT_PITCH : (bytes + LINE - 1) / LINE * LINE;
}

SweepShape sweep_shape(const SweepProgram *sweep) {
    int rows = (int)sweep->tensor.rows, registers = registers_of(sweep);
    SweepShape shape = {.row_tiles = rows > 64 && 2 * registers <= PAIR_REGISTERS ? 2 : 1};
    shape.threads = 32 * rows / (TILE_ROWS * shape.row_tiles);
    shape.resident = 32 * RESIDENT_WARPS / shape.threads;
    shape.rows_stay = shape.row_tiles * registers > FEW_REGISTERS;
    for (int k = 0; k < sweep->sweeping.inner_count; k++)
        shape.rows_bytes += rows * pitch_of(&sweep->rows[k]);
    for (int k = 0; k < sweep->column_count; k++)
        shape.stage_bytes += (int)sweep->tensor.lanes * pitch_of(&sweep->columns[k]);
    int ring = shape.stage_bytes * (int)sweep->tensor.stages;
    shape.ring = shape.rows_stay ? shape.rows_bytes : 0;
    shape.shared_bytes = (size_t)(shape.ring + ring > shape.rows_bytes ? shape.ring + ring : shape.rows_bytes);
    shape.blocks = 1;
    bool is_inside = false;
    for (uint32_t i = 0; !is_inside; i++) {
        const TileOp *op = &sweep->tile->ops[i];
        if (op->kind == TILE_LOOP) shape.blocks *= tensor_rounds(op);
        is_inside = op->kind == TILE_LOOP && op->loop == LOOP_ROWS;
    }
    return shape;
}

// ---- loops around the tile

static uint32_t next_loop(const Printer *printer, uint32_t from) {
    while (printer_op(printer, from)->kind != TILE_LOOP)
        from++;
    return from;
}

// Rows whose sweep is long come first.
static bool begins_with_last(const SweepProgram *sweep) {
    const Band *band = &sweep->band;
    return band->is_set && band->row == sweep->sweeping.rows && band->high < BAND_OPEN;
}

// What loops over places and rows are in this block, and what stands between them. Returns the loop inside of rows.
static uint32_t print_places(Printer *printer, const SweepPrinter *printing) {
    int64_t inner = printing->shape->blocks;
    print_range(printer, 0, next_loop(printer, 0));
    for (uint32_t loop = next_loop(printer, 0);;) {
        const TileOp *op = printer_op(printer, loop);
        int64_t rounds = tensor_rounds(op);
        const char *wrap =
            inner == printing->shape->blocks ? "" : arena_format(printer->arena, " %% %lld", (long long)rounds);
        inner /= rounds;
        const char *number = arena_format(printer->arena, "block / %lld%s", (long long)inner, wrap);
        if (op->loop == LOOP_ROWS) {
            const char *from =
                begins_with_last(printing->sweep) ? arena_format(printer->arena, "%lld - ", (long long)rounds - 1) : "";
            print_line(printer, "const int %s = %u * (%s(%s));", loop_base(printer, loop), op->step, from, number);
            printer->rows_loop = loop;
            printer->rows = 2 * printing->shape->row_tiles;
        } else {
            print_line(printer, "const int %s = %s;", loop_base(printer, loop), number);
        }
        uint32_t next = next_loop(printer, loop + 1);
        print_range(printer, loop + 1, next);
        if (op->loop == LOOP_ROWS) return next;
        loop = next;
    }
}

// ---- factors

// Elements from the beginning of its buffer to that of the block's place.
static const char *place_text(const SweepPrinter *printing, const SweepPanel *panel) {
    const Printer *printer = &printing->printer;
    const DimList *places = &printing->sweep->sweeping.places;
    Text text = text_create(printer->arena);
    text_append(&text, "%lldll", (long long)panel->offset);
    uint32_t loop = next_loop(printer, 0);
    for (int i = 0; i < places->rank; i++) {
        if (graph_extent(printing->sweep->dims, places->dims[i]) == 1) continue;
        text_append(&text, " + %lldll * %s", (long long)panel->places[i], loop_base(printer, loop));
        loop = next_loop(printer, loop + 1);
    }
    return text_string(&text);
}

static void print_factor(SweepPrinter *printing, const SweepPanel *panel, const char *name, int number) {
    print_line(&printing->printer, "const unsigned short *const %s%d = b%d + (%s);", name, number, panel->buffer,
               place_text(printing, panel));
}

static void print_factors(SweepPrinter *printing) {
    const SweepProgram *sweep = printing->sweep;
    for (int k = 0; k < sweep->sweeping.inner_count; k++)
        print_factor(printing, &sweep->rows[k], "rows", k);
    for (int k = 0; k < sweep->column_count; k++)
        print_factor(printing, &sweep->columns[k], "columns", k);
}

// `lines` lines of a factor, from line `first` on, to `to`.
static void print_copy(SweepPrinter *printing, const SweepPanel *panel, int lines, const char *from, const char *first,
                       const char *to) {
    Printer *printer = &printing->printer;
    int across = panel->width / WIDE, pieces = lines * across, threads = printing->shape->threads;
    print_line(printer, "UNROLL");
    print_line(printer, "for (int i = 0; i < %d; i++) {", (pieces + threads - 1) / threads);
    print_line(printer, "const int piece = (int)threadIdx.x + %d * i, line = piece / %d, along = piece %% %d;", threads,
               across, across);
    if (pieces % threads) print_line(printer, "if (piece < %d)", pieces);
    print_line(printer, "copy_16(%s + PLACE_OF_HALVES(line, along, %d), %s + %lldll * (%s + line) + 8 * along, 16);",
               to, pitch_of(panel), from, (long long)panel->pitch, first);
    print_line(printer, "}");
}

static int row_offset(const SweepProgram *sweep, int panel) {
    int offset = 0;
    for (int k = 0; k < panel; k++)
        offset += (int)sweep->tensor.rows * pitch_of(&sweep->rows[k]);
    return offset;
}

// Rows of all inner products at once, where the ring will be, or before it.
static void print_rows(SweepPrinter *printing) {
    Printer *printer = &printing->printer;
    const SweepProgram *sweep = printing->sweep;
    const SweepShape *shape = printing->shape;
    const char *first = loop_base(printer, printing->rows);
    for (int k = 0; k < sweep->sweeping.inner_count; k++)
        print_copy(printing, &sweep->rows[k], (int)sweep->tensor.rows, arena_format(printer->arena, "rows%d", k),
                   first, arena_format(printer->arena, "shared_memory + %d", row_offset(sweep, k)));
    if (shape->rows_stay) return; // they have come when the first stage has
    print_line(printer, "copies_end();");
    print_line(printer, "copies_wait(0);");
    print_line(printer, "block_barrier();");
    for (int k = 0; k < sweep->sweeping.inner_count; k++) {
        int parts = sweep->rows[k].width / TILE_ROWS, pitch = pitch_of(&sweep->rows[k]);
        print_line(printer, "Halves fragments%d[%d][%d][4];", k, shape->row_tiles, parts);
        print_line(printer, "UNROLL");
        print_line(printer, "for (int i = 0; i < %d; i++) {", shape->row_tiles);
        print_line(printer, "UNROLL");
        print_line(printer, "for (int part = 0; part < %d; part++)", parts);
        print_line(printer,
                   "    rows_by_rows_%s(fragments%d[i][part], shared_memory + %d, %d, %d * WARP + 16 * i, part);",
                   printing->kind, k, row_offset(sweep, k), pitch, TILE_ROWS * shape->row_tiles);
        print_line(printer, "}");
    }
    print_line(printer, "block_barrier();");
}

// ---- the ring

// First and last column that the band leaves to the block's rows.
static void print_range_of_columns(SweepPrinter *printing) {
    Printer *printer = &printing->printer;
    const SweepProgram *sweep = printing->sweep;
    const Band *band = &sweep->band;
    const char *row = loop_base(printer, printing->rows), *begin = "0";
    long long extent = (long long)graph_extent(sweep->dims, sweep->sweeping.swept), rows = sweep->tensor.rows;
    const char *end = arena_format(printer->arena, "%lld", extent);
    long long low = -BAND_OPEN, high = BAND_OPEN;
    if (band->is_set) {
        bool by_rows = band->row == sweep->sweeping.rows;
        low = by_rows ? band->low : -band->high;
        high = by_rows ? band->high : -band->low;
    }
    if (low > -BAND_OPEN)
        begin = arena_format(printer->arena, "int_maximum(0, %s + %lld) & ~%u", row, low, sweep->tensor.lanes - 1);
    if (high < BAND_OPEN) end = arena_format(printer->arena, "int_minimum(%s, %s + %lld)", end, row, rows + high);
    print_line(printer, "const int begin = %s, end = %s;", begin, end);
    print_line(printer, "const int tiles = int_maximum(0, end - begin + %u) / %u;", sweep->tensor.lanes - 1,
               sweep->tensor.lanes);
}

static int column_offset(const SweepProgram *sweep, int panel) {
    int offset = 0;
    for (int k = 0; k < panel; k++)
        offset += (int)sweep->tensor.lanes * pitch_of(&sweep->columns[k]);
    return offset;
}

// Where a factor along the swept dim begins, inside of the loops over what is shared.
static const char *column_text(const SweepPrinter *printing, int k) {
    const Printer *printer = &printing->printer;
    const DimList *shared = &printing->sweep->sweeping.shared;
    Text text = text_create(printer->arena);
    text_append(&text, "columns%d", k);
    uint32_t loop = printing->shared;
    for (int i = 0; i < shared->rank; i++) {
        if (graph_extent(printing->sweep->dims, shared->dims[i]) == 1) continue;
        text_append(&text, " + %lldll * %s", (long long)printing->sweep->columns[k].shared[i],
                    loop_base(printer, loop));
        loop = next_loop(printer, loop + 1);
    }
    return text_string(&text);
}

static void print_stage_copies(SweepPrinter *printing) {
    Printer *printer = &printing->printer;
    const SweepProgram *sweep = printing->sweep;
    const TensorTile *tensor = &sweep->tensor;
    print_line(printer, "unsigned char *const stage = ring + ahead %% %u * %d;", tensor->stages,
               printing->shape->stage_bytes);
    const char *first = arena_format(printer->arena, "begin + %u * ahead", tensor->lanes);
    for (int k = 0; k < sweep->column_count; k++)
        print_copy(printing, &sweep->columns[k], (int)tensor->lanes, column_text(printing, k), first,
                   arena_format(printer->arena, "stage + %d", column_offset(sweep, k)));
}

// ---- products

static void print_multiplications(SweepPrinter *printing, const char *sums, const char *a, int lane_tiles) {
    Printer *printer = &printing->printer;
    print_line(printer, "UNROLL");
    print_line(printer, "for (int i = 0; i < %d; i++) {", printing->shape->row_tiles);
    print_line(printer, "UNROLL");
    print_line(printer, "for (int j = 0; j < %d; j++)", lane_tiles);
    print_line(printer, "    multiply_%s(&%s[2 * i][2 * j], &%s[2 * i + 1][2 * j], %s, b[j / 2] + 2 * (j %% 2));",
               printing->kind, sums, sums, a);
    print_line(printer, "}");
}

static void print_inner(SweepPrinter *printing, int k, uint32_t zero) {
    Printer *printer = &printing->printer;
    const SweepProgram *sweep = printing->sweep;
    const SweepShape *shape = printing->shape;
    const SweepPanel *panel = &sweep->columns[sweep->inner_columns[k]];
    int lanes = (int)sweep->tensor.lanes;
    print_line(printer, "UNROLL");
    print_line(printer, "for (int part = 0; part < %d; part++) {", panel->width / TILE_ROWS);
    print_line(printer, "Halves b[%d][4];", lanes / 16);
    print_line(printer, "UNROLL");
    print_line(printer, "for (int i = 0; i < %d; i++)", lanes / 16);
    print_line(printer, "    lanes_by_rows_%s(b[i], stage + %d, %d, 16 * i, part);", printing->kind,
               column_offset(sweep, sweep->inner_columns[k]), pitch_of(panel));
    if (shape->rows_stay) {
        print_line(printer, "Halves a[%d][4];", shape->row_tiles);
        print_line(printer, "UNROLL");
        print_line(printer, "for (int i = 0; i < %d; i++)", shape->row_tiles);
        print_line(printer, "    rows_by_rows_%s(a[i], shared_memory + %d, %d, %d * WARP + 16 * i, part);",
                   printing->kind, row_offset(sweep, k), pitch_of(&sweep->rows[k]), TILE_ROWS * shape->row_tiles);
    }
    const char *a = shape->rows_stay ? "a[i]" : arena_format(printer->arena, "fragments%d[i][part]", k);
    print_multiplications(printing, arena_format(printer->arena, "v%u", zero), a, lanes / 8);
    print_line(printer, "}");
}

static void print_outer(SweepPrinter *printing, int k) {
    Printer *printer = &printing->printer;
    const SweepProgram *sweep = printing->sweep;
    const SweepPanel *panel = &sweep->columns[sweep->outer_columns[k]];
    int row_tiles = printing->shape->row_tiles;
    print_line(printer, "UNROLL");
    print_line(printer, "for (int part = 0; part < %u; part++) {", sweep->tensor.lanes / 16);
    print_line(printer, "Halves a[%d][4], b[%d][4];", row_tiles, panel->width / 16);
    print_line(printer, "UNROLL");
    print_line(printer, "for (int i = 0; i < %d; i++)", panel->width / 16);
    print_line(printer, "    lanes_by_depth_%s(b[i], stage + %d, %d, 16 * i, part);", printing->kind,
               column_offset(sweep, sweep->outer_columns[k]), pitch_of(panel));
    print_line(printer, "UNROLL");
    print_line(printer, "for (int i = 0; i < %d; i++)", row_tiles);
    print_line(printer, "    rows_of_sums_%s(a[i], factor%d[2 * i] + 4 * part, factor%d[2 * i + 1] + 4 * part);",
               printing->kind, k, k);
    print_multiplications(printing, arena_format(printer->arena, "outer%d", k), "a[i]", panel->width / 8);
    print_line(printer, "}");
}

// ---- the limit: the largest of the scores so far, by which exponentials are divided

static int lanes_of(const SweepProgram *sweep, int outer) {
    return sweep->columns[sweep->outer_columns[outer]].width;
}

// What is multiplied with `scale`, of every row.
static void print_scaling(SweepPrinter *printing, const char *scale) {
    Printer *printer = &printing->printer;
    for (int k = 0; k < printing->sweep->sweeping.outer_count; k++) {
        print_line(printer, "UNROLL");
        print_line(printer, "for (int v = 0; v < %d; v++) outer%d[r][v] *= %s;", lanes_of(printing->sweep, k) / 4, k,
                   scale);
    }
}

static void open_rows(SweepPrinter *printing) {
    print_line(&printing->printer, "UNROLL");
    print_line(&printing->printer, "for (int r = 0; r < %d; r++) {", 2 * printing->shape->row_tiles);
}

// A row whose scores so far are all -infinity has sums of zeros; its limit is 0, so that they stay so. A score that is
// NaN is no limit, but its exponential is NaN.
static void print_limit(SweepPrinter *printing) {
    Printer *printer = &printing->printer;
    open_rows(printing);
    print_line(printer, "const float before = greatest[r];");
    print_line(printer, "greatest[r] = fmaxf(before, quad_maximum(peak[r]));");
    print_line(printer, "limit[r] = greatest[r] == -INFINITE ? 0.0f : greatest[r];");
    print_line(printer, "const float scale = fast_exp(before - limit[r]);");
    print_line(printer, "sum[r] *= scale;");
    print_scaling(printing, "scale");
    print_line(printer, "}");
}

// Sums of four threads are one; what is divided by it; lse. A row of nothing but -infinity has zeros, and lse infinity.
static void print_division(SweepPrinter *printing) {
    Printer *printer = &printing->printer;
    const SweepPanel *lse = &printing->sweep->lse;
    open_rows(printing);
    print_line(printer, "const float total = quad_sum(sum[r]), weight = total == 0.0f ? 0.0f : 1.0f / total;");
    print_scaling(printing, "weight");
    if (lse->buffer >= 0)
        print_line(printer,
                   "if ((WARP_LANE & 3) == 0) b%d[%s + %lldll * (%s + OWN_ROW(r))] = total == 0.0f ? INFINITE : "
                   "greatest[r] + float_log(total);",
                   lse->buffer, place_text(printing, lse), (long long)lse->pitch, loop_base(printer, printing->rows));
    print_line(printer, "}");
}

// ---- the tile's program

static uint32_t limit_load(const SweepProgram *sweep) {
    for (uint32_t i = 0; i < sweep->tile->op_count; i++)
        if (sweep->tile->ops[i].kind == TILE_LOAD && sweep->tile->ops[i].buffer == sweep->limit) return i;
    BUG("a sweep without its limit");
}

static void print_tile(SweepPrinter *printing) {
    Printer *printer = &printing->printer;
    const SweepProgram *sweep = printing->sweep;
    uint32_t first = printing->columns + 1, end = printer->ends[printing->columns], body = first;
    int rows = 2 * printing->shape->row_tiles, columns = (int)sweep->tensor.lanes / 4;
    while (printer_op(printer, body)->kind == TILE_ZERO)
        body++;
    print_range(printer, first, body);
    CHECK((int)(body - first) == sweep->sweeping.inner_count);
    for (int k = 0; k < sweep->sweeping.inner_count; k++)
        print_inner(printing, k, first + (uint32_t)k);
    for (int k = 0; k < sweep->sweeping.outer_count; k++)
        print_line(printer, "float factor%d[%d][%d];", k, rows, columns);
    if (sweep->limit >= 0) {
        uint32_t load = limit_load(sweep);
        print_line(printer, "float peak[%d];", rows);
        print_line(printer, "UNROLL");
        print_line(printer, "for (int r = 0; r < %d; r++) peak[r] = -INFINITE;", rows);
        print_range(printer, body, load);
        print_limit(printing);
        body = load;
    }
    print_range(printer, body, end);
    for (int k = 0; k < sweep->sweeping.outer_count; k++)
        print_outer(printing, k);
}

static void print_tiles_in_turn(SweepPrinter *printing) {
    Printer *printer = &printing->printer;
    const TensorTile *tensor = &printing->sweep->tensor;
    uint32_t stages = tensor->stages;
    print_line(printer, "for (int ahead = 0; ahead < tiles + %u; ahead++) {", stages - 1);
    print_line(printer, "if (ahead >= %u) {", stages - 1);
    print_line(printer, "copies_wait(%u);", stages - 2);
    print_line(printer, "block_barrier();");
    print_line(printer, "}");
    print_line(printer, "if (ahead < tiles) {");
    print_stage_copies(printing);
    print_line(printer, "}");
    print_line(printer, "copies_end();");
    print_line(printer, "if (ahead < %u) continue;", stages - 1);
    print_line(printer, "const int %s = begin + %u * (ahead - %u);", loop_base(printer, printing->columns),
               tensor->lanes, stages - 1);
    print_line(printer, "const unsigned char *const stage = ring + (ahead + 1) %% %u * %d;", stages,
               printing->shape->stage_bytes);
    printer->lanes_loop = printing->columns;
    printer->vectors = (int)tensor->lanes / 4;
    print_tile(printing);
    printer->lanes_loop = TILE_NONE;
    printer->vectors = 1;
    print_line(printer, "}");
    // Of rows that no tile has waited for: a block whose rows see nothing.
    if (printing->shape->rows_stay) print_line(printer, "copies_wait(0);");
}

// The same for each index of what outer products sum over besides. No tile is copied over one that is still read.
static void print_shared(SweepPrinter *printing) {
    Printer *printer = &printing->printer;
    uint32_t loop = printing->shared;
    for (; loop != printing->columns; loop = next_loop(printer, loop + 1)) {
        const char *name = loop_base(printer, loop);
        print_line(printer, "for (int %s = 0; %s < %lld; %s++) {", name, name,
                   (long long)printer_op(printer, loop)->extent, name);
        print_range(printer, loop + 1, next_loop(printer, loop + 1));
    }
    print_tiles_in_turn(printing);
    if (printing->shared != printing->columns) print_line(printer, "block_barrier();");
    for (loop = printing->shared; loop != printing->columns; loop = next_loop(printer, loop + 1))
        print_line(printer, "}");
}

// ---- results

static void print_end(SweepPrinter *printing, const Spread *spread, int k) {
    const SweepProgram *sweep = printing->sweep;
    const TileProgram *program = sweep->ends[k];
    Tensor tensor = {
        .tile = program->tensor, .row_tiles = printing->shape->row_tiles, .lane_tiles = lanes_of(sweep, k) / 8};
    const char *symbol = arena_format(printing->printer.arena, "%s_%d", printing->symbol, k);
    Printer printer = printer_of(printing->printer.arena, printing->printer.out, program, symbol, spread);
    printer.tensor = &tensor;
    printer.depth = printing->printer.depth;
    print_line(&printer, "{");
    uint32_t loop = print_places(&printer, printing);
    print_line(&printer, "const int %s = 0;", loop_base(&printer, loop));
    printer.lanes_loop = loop;
    printer.vectors = 2 * tensor.lane_tiles;
    TileValue sums = loop + 1;
    CHECK(printer_op(&printer, sums)->kind == TILE_ZERO);
    print_range(&printer, sums, sums + 1);
    open_rows(printing);
    print_line(&printer, "UNROLL");
    print_line(&printer, "for (int v = 0; v < %d; v++) v%u[r][v] = outer%d[r][v];", printer.vectors, sums, k);
    print_line(&printer, "}");
    print_exchange(&printer, sums);
    print_range(&printer, sums + 1, printer.ends[loop]);
    print_line(&printer, "}");
}

// ---- the kernel

// What stands for the local buffers of the tile's program.
static const RegisterText *registers_for(Arena *arena, const SweepProgram *sweep) {
    RegisterText *registers = ARENA_ARRAY(arena, RegisterText, sweep->tile->buffer_count + 1);
    if (sweep->limit >= 0) {
        registers[sweep->limit] = (RegisterText){"limit[r]", "peak[r] = fmaxf(peak[r], %s);"};
        registers[sweep->sum] = (RegisterText){NULL, "sum[r] += %s;"};
    }
    for (int k = 0; k < sweep->sweeping.outer_count; k++)
        registers[sweep->factors[k]] = (RegisterText){NULL, arena_format(arena, "factor%d[r][v] = %%s;", k)};
    return registers;
}

static void print_zeros(SweepPrinter *printing) {
    Printer *printer = &printing->printer;
    const SweepProgram *sweep = printing->sweep;
    int rows = 2 * printing->shape->row_tiles;
    for (int k = 0; k < sweep->sweeping.outer_count; k++)
        print_line(printer, "float outer%d[%d][%d];", k, rows, lanes_of(sweep, k) / 4);
    if (sweep->limit >= 0) print_line(printer, "float greatest[%d], limit[%d], sum[%d];", rows, rows, rows);
    open_rows(printing);
    if (sweep->limit >= 0) print_line(printer, "greatest[r] = -INFINITE, limit[r] = sum[r] = 0.0f;");
    for (int k = 0; k < sweep->sweeping.outer_count; k++) {
        print_line(printer, "UNROLL");
        print_line(printer, "for (int v = 0; v < %d; v++) outer%d[r][v] = 0.0f;", lanes_of(sweep, k) / 4, k);
    }
    print_line(printer, "}");
}

static void print_body(SweepPrinter *printing, const Spread *spread) {
    Printer *printer = &printing->printer;
    print_line(printer, "unsigned char *const ring = shared_memory + %d;", printing->shape->ring);
    print_line(printer, "const int own_row = %d * WARP + WARP_LANE / 4, own_lane = FIRST_LANE;",
               TILE_ROWS * printing->shape->row_tiles);
    printing->shared = printing->columns = print_places(printer, printing);
    printing->rows = printer->rows_loop;
    while (printer_op(printer, printing->columns)->loop != LOOP_LANES)
        printing->columns = next_loop(printer, printing->columns + 1);
    print_factors(printing);
    print_range_of_columns(printing);
    print_rows(printing);
    print_zeros(printing);
    print_shared(printing);
    if (printing->sweep->limit >= 0) print_division(printing);
    for (int k = 0; k < printing->sweep->sweeping.outer_count; k++)
        print_end(printing, spread, k);
}

static const CudaParameter *parameters_of(Arena *arena, const TileProgram *program, const bool *aliased) {
    uint32_t count = tile_given(program);
    CudaParameter *parameters = ARENA_ARRAY(arena, CudaParameter, count + 1);
    for (uint32_t i = 0; i < count; i++)
        parameters[i] = (CudaParameter){program->buffers[i].dtype, program->buffers[i].written, !aliased[i]};
    return parameters;
}

const CudaText *print_sweep(Arena *arena, const SweepProgram *sweep, const bool *aliased, const char *symbol) {
    Text tables = text_create(arena), body = text_create(arena);
    Arena *scratch = arena_create();
    SweepShape shape = sweep_shape(sweep);
    CudaText *text = ARENA_NEW(arena, CudaText);
    *text = (CudaText){.letter = "b",
                       .parameters = parameters_of(arena, sweep->tile, aliased),
                       .resident = (uint32_t)shape.resident,
                       .shared = SHARED_BYTES};
    bool *never = ARENA_ARRAY(scratch, bool, sweep->tile->buffer_count + 1);
    Spread spread = {.kind = SPREAD_TENSOR, .again = never, .over = never};
    Tensor tensor = {.tile = sweep->tensor,
                     .row_tiles = shape.row_tiles,
                     .lane_tiles = (int)sweep->tensor.lanes / 8,
                     .registers = registers_for(scratch, sweep)};
    SweepPrinter printing = {.printer = printer_of(scratch, &tables, sweep->tile, symbol, &spread),
                             .sweep = sweep,
                             .shape = &shape,
                             .symbol = symbol,
                             .kind = tensor_name(sweep->tensor.kind)};
    printing.printer.tensor = &tensor;
    text->has_tables = print_tables(&printing.printer);
    for (int k = 0; k < sweep->sweeping.outer_count; k++) {
        const char *own = arena_format(scratch, "%s_%d", symbol, k);
        Printer end = printer_of(scratch, &tables, sweep->ends[k], own, &spread);
        text->has_tables |= print_tables(&end);
    }
    printing.printer.out = &body;
    printing.printer.depth = 1;
    print_body(&printing, &spread);
    text->before = text_string(&tables);
    text->body = text_string(&body);
    arena_free(scratch);
    return text;
}

const char *sweep_symbol(Arena *arena, const SweepProgram *sweep, const bool *aliased) {
    Text text = text_create(arena);
    const Band *band = &sweep->band;
    text_append(&text, "%s %u %u %u %d", sweep->tile->name, sweep->tensor.rows, sweep->tensor.lanes,
                sweep->tensor.stages, (int)sweep->tensor.kind);
    if (band->is_set)
        text_append(&text, " band %d %lld %lld", band->row == sweep->sweeping.rows, (long long)band->low,
                    (long long)band->high);
    for (int k = 0; k < sweep->sweeping.outer_count; k++)
        text_append(&text, " %s %d", sweep->ends[k]->name, sweep->outer_columns[k]);
    for (int k = 0; k < sweep->sweeping.inner_count + sweep->column_count + 1; k++) {
        int column = k - sweep->sweeping.inner_count;
        const SweepPanel *panel = column < 0                     ? &sweep->rows[k]
                                  : column < sweep->column_count ? &sweep->columns[column]
                                                                 : &sweep->lse;
        text_append(&text, " b%d %lld %lld %d", panel->buffer, (long long)panel->offset, (long long)panel->pitch,
                    panel->width);
        for (int i = 0; i < sweep->sweeping.places.rank; i++)
            text_append(&text, " %lld", (long long)panel->places[i]);
        for (int i = 0; i < sweep->sweeping.shared.rank; i++)
            text_append(&text, " %lld", (long long)panel->shared[i]);
    }
    for (int k = 0; k < sweep->sweeping.inner_count; k++)
        text_append(&text, " %d", sweep->inner_columns[k]);
    for (uint32_t b = 0; b < tile_given(sweep->tile); b++)
        text_append(&text, " %d", aliased[b]);
    return arena_format(arena, "%.*s_%016llx", (int)(strrchr(sweep->tile->name, '_') - sweep->tile->name),
                        sweep->tile->name, (unsigned long long)hash_bytes(text.data, text.length));
}
