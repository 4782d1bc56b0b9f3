// What a tile of tensor cores reads and writes in memory besides its factors, four lanes at a time.
//
//     UNROLL                                             a thread has four lanes side by side, then four of the next 16
//     for (int four = 0; four < 64; four += 4) {         (exchange_four, tensor.cu): a warp reads and writes whole
//         float f12[4];                                  sectors, in one instruction for four lanes
//         UNROLL
//         for (int e = 0; e < 4; e++) {
//             const int v = four + e;
//             ...
//             f12[e] = v11;
//         }
//         store_four_f32(b3 + (768*BT_0i + C_1i), f12);
//     }
//
// That is done where lanes lie side by side from multiples of four on, and all four are there, or none. Where a nest's
// rows are rolled because of its length (print_parts.c) its lanes are, too, 16 of a thread at a time:
//
//     ROLLED
//     for (int turn = 0; turn < 4; turn++) {
//         ... C_1 + 64 * turn + OWN_LANE(v) ... v6[0][v] ...       16 of these
//         ROTATE_LANES(float, v6[0], 64, 16);
//     }
#include "base/diag.h"
#include "codegen/cuda/print_tensor.h"

enum { FOUR = 4, IN_TURN = 16, LANES_IN_TURN = 64 };

static bool is_in_turns(const Printer *printer) {
    return printer->rolled_rows && printer->vectors > IN_TURN && printer->vectors % IN_TURN == 0;
}

static const char *lane_text(const Printer *printer, const char *part) {
    const char *turn = is_in_turns(printer) ? arena_format(printer->arena, "%d * turn + ", LANES_IN_TURN) : "";
    return arena_format(printer->arena, "%s + %sOWN_LANE(%s)", loop_base(printer, printer->lanes_loop), turn, part);
}

bool goes_by_fours(const Printer *printer, uint32_t number) {
    const TileOp *op = printer_op(printer, number);
    if (!printer->tensor || printer->rolled_vectors || (op->kind != TILE_LOAD && op->kind != TILE_STORE)) return false;
    if (printer->tensor->registers || printer->lanes_loop == TILE_NONE) return false;
    if (printer->shapes[number] != (SHAPE_ROWS | SHAPE_LANES)) return false;
    if (printer->lane_limit && printer_op(printer, printer->lanes_loop)->extent % FOUR != 0) return false;
    DType dtype = printer->program->buffers[op->buffer].dtype;
    if (dtype != DTYPE_F32 && dtype != DTYPE_BF16 && dtype != DTYPE_F16) return false;
    return moves_by_whole(printer, &op->index, printer->lanes_loop, FOUR);
}

bool has_fours(const Printer *printer, uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; i++)
        if (goes_by_fours(printer, i)) return true;
    return false;
}

// `load_four_f32(f8, b1 + (768*BT_0i + C_1i))`, in a scope of its own: C_1i is the first of the four lanes.
static void print_accesses(Printer *printer, uint32_t begin, uint32_t end, TileKind kind) {
    const char *lane = loop_element(printer, printer->lanes_loop);
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = printer_op(printer, i);
        if (op->kind != kind || !goes_by_fours(printer, i)) continue;
        print_line(printer, "{");
        print_line(printer, "const int %s = %s;", lane, lane_text(printer, "four"));
        const char *place = print_element(printer, op, (uint32_t)printer->program->op_count, SHAPE_LANES);
        const char *dtype = dtype_name(printer->program->buffers[op->buffer].dtype);
        if (kind == TILE_LOAD)
            print_line(printer, "load_four_%s(f%u, %s);", dtype, i, place);
        else
            print_line(printer, "store_four_%s(%s, f%u);", dtype, place, i);
        print_line(printer, "}");
    }
}

// Whether anything of a lane of its own is said by the lane's index.
static bool uses_lane(const Printer *printer, uint32_t begin, uint32_t end) {
    TileValue lanes = printer->lanes_loop;
    for (uint32_t i = begin; i < end; i++) {
        const TileOp *op = printer_op(printer, i);
        if (printer->shapes[i] != (SHAPE_ROWS | SHAPE_LANES) || goes_by_fours(printer, i)) continue;
        if (tile_uses(op, lanes)) return true;
        for (int k = 0; k < op->index.count; k++)
            if (op->index.terms[k].value == lanes) return true;
    }
    return false;
}

void open_fours(Printer *printer, uint32_t begin, uint32_t end) {
    const char *lane = loop_element(printer, printer->lanes_loop);
    int vectors = is_in_turns(printer) ? IN_TURN : printer->vectors;
    CHECK(printer->vectors % FOUR == 0);
    if (is_in_turns(printer)) {
        print_line(printer, "ROLLED");
        print_line(printer, "for (int turn = 0; turn < %d; turn++) {", printer->vectors / IN_TURN);
    }
    print_line(printer, "UNROLL");
    print_line(printer, "for (int four = 0; four < %d; four += %d) {", vectors, FOUR);
    if (printer->lane_limit) print_line(printer, "if (%s < %s) {", lane_text(printer, "four"), printer->lane_limit);
    for (uint32_t i = begin; i < end; i++)
        if (goes_by_fours(printer, i)) print_line(printer, "float f%u[%d];", i, FOUR);
    print_accesses(printer, begin, end, TILE_LOAD);
    print_line(printer, "UNROLL");
    print_line(printer, "for (int e = 0; e < %d; e++) {", FOUR);
    print_line(printer, "const int v = four + e;");
    if (uses_lane(printer, begin, end)) print_line(printer, "const int %s = %s;", lane, lane_text(printer, "v"));
    printer->in_fours = true;
}

void close_fours(Printer *printer, uint32_t begin, uint32_t end) {
    printer->in_fours = false;
    print_line(printer, "}");
    print_accesses(printer, begin, end, TILE_STORE);
    if (printer->lane_limit) print_line(printer, "}");
    print_line(printer, "}");
    if (!is_in_turns(printer)) return;
    print_lane_rotations(printer, begin, end, IN_TURN);
    print_line(printer, "}");
}
