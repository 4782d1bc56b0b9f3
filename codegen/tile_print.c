// Tile programs as text. One line per op; loop indices print as name.number, other values as %number:
//
//     kernel row_softmax_91c0  (f32 b0[196608], out f32 b1[196608])
//     piece r.0 3072/4
//       %1 = zero lanes -inf
//       lanes s.2 64 step 64
//         %3 = load f32 b0[64*r.0 + s.2]
//         accumulate max %1 %3
//       end
//
// The text, with the tables, is the identity of a kernel: everything a backend looks at is in it.
#include "base/diag.h"
#include "codegen/lower.h"

static const char *function_name(int function) {
    switch (function) {
    case TILE_DIVIDE: return "divide";
    case TILE_REMAINDER: return "remainder";
    case TILE_MINIMUM_INTEGER: return "minimum_integer";
    case TILE_MAXIMUM_INTEGER: return "maximum_integer";
    default: return op_name((Op)function);
    }
}

static const char *loop_name(LoopKind kind) {
    switch (kind) {
    case LOOP_PLAIN: return "loop";
    case LOOP_PIECE: return "piece";
    case LOOP_ROWS: return "rows";
    case LOOP_LANES: return "lanes";
    default: return "guard";
    }
}

static const char *shape_name(uint8_t shape) {
    static const char *const names[] = {"uniform", "rows", "lanes", "rows*lanes"};
    return names[shape & 3];
}

static void print_value(const TileProgram *program, TileValue value, Text *out) {
    if (value < program->op_count && program->ops[value].kind == TILE_LOOP)
        text_append(out, "%s.%u", program->ops[value].name, value);
    else
        text_append(out, "%%%u", value);
}

static void print_index(const TileProgram *program, const TileIndex *index, Text *out) {
    for (int i = 0; i < index->count; i++) {
        if (i) text_append(out, " + ");
        if (index->terms[i].coefficient != 1) text_append(out, "%lld*", (long long)index->terms[i].coefficient);
        print_value(program, index->terms[i].value, out);
    }
    if (index->count && index->constant == 0) return;
    text_append(out, index->count ? " + %lld" : "%lld", (long long)index->constant);
}

static void print_operands(const TileProgram *program, const TileOp *op, Text *out) {
    for (int i = 0; i < op->operand_count; i++) {
        text_append(out, " ");
        print_value(program, op->operands[i], out);
    }
}

static void print_loop(const TileProgram *program, const TileOp *op, TileValue value, Text *out) {
    text_append(out, "%s ", loop_name(op->loop));
    print_value(program, value, out);
    text_append(out, " %lld", (long long)op->extent);
    if (op->pieces) text_append(out, "/%u", op->pieces);
    if (op->step) text_append(out, " step %u", op->step);
    if (op->split_evenly) text_append(out, " evenly");
    if (op->operand_count) text_append(out, " at");
    print_operands(program, op, out);
    if (!op->bounded) return;
    text_append(out, " within");
    if (op->low > -BAND_OPEN) text_append(out, " %lld", (long long)op->low);
    text_append(out, "..");
    if (op->high < BAND_OPEN) text_append(out, "%lld", (long long)op->high);
    text_append(out, " of [");
    print_index(program, &op->index, out);
    text_append(out, "]");
}

static void print_number(const TileOp *op, Text *out) {
    text_append(out, " ");
    text_append_double(out, op->number);
}

static void print_place(const TileProgram *program, const TileOp *op, Text *out) {
    text_append(out, "[");
    print_index(program, &op->index, out);
    text_append(out, "]");
}

// Ops that define nothing; false for the others.
static bool print_effect(const TileProgram *program, const TileOp *op, Text *out) {
    switch (op->kind) {
    case TILE_END: text_append(out, "end"); return true;
    case TILE_STORE:
    case TILE_SCATTER_ADD:
        text_append(out, "%s b%d", op->kind == TILE_STORE ? "store" : "scatter_add", op->buffer);
        print_place(program, op, out);
        break;
    case TILE_PREFETCH:
        text_append(out, "prefetch%s b%d", op->first_row ? " first row of" : "", op->buffer);
        print_place(program, op, out);
        break;
    case TILE_ACCUMULATE: text_append(out, "accumulate %s", function_name(op->function)); break;
    case TILE_MULTIPLY_ACCUMULATE: text_append(out, "multiply_accumulate"); break;
    default: return false;
    }
    print_operands(program, op, out);
    return true;
}

static void print_definition(const TileProgram *program, const TileOp *op, Text *out) {
    const char *dtype = dtype_name(op->dtype);
    switch (op->kind) {
    case TILE_CONST: text_append(out, "const %s", dtype); break;
    case TILE_INDEX: text_append(out, "index "); break;
    case TILE_LOAD: text_append(out, "load %s b%d", dtype, op->buffer); break;
    case TILE_TABLE: text_append(out, "table %s %lld", dtype, (long long)op->table_count); break;
    case TILE_MAP: text_append(out, "%s %s", function_name(op->function), dtype); break;
    case TILE_ZERO: text_append(out, "zero %s", shape_name(op->shape)); break;
    case TILE_ROW_REDUCE: text_append(out, "row_reduce %s", function_name(op->function)); break;
    case TILE_RANDOM: text_append(out, "random site %u ", op->site); break;
    default: BUG("tile op %d defines no value", op->kind);
    }
    if (op->kind == TILE_ZERO && op->step) text_append(out, " step %u", op->step);
    if (op->kind == TILE_CONST || op->kind == TILE_ZERO) print_number(op, out);
    bool has_place =
        op->kind == TILE_INDEX || op->kind == TILE_LOAD || op->kind == TILE_TABLE || op->kind == TILE_RANDOM;
    if (has_place) print_place(program, op, out);
    print_operands(program, op, out);
}

static void print_op(const TileProgram *program, TileValue value, Text *out) {
    const TileOp *op = &program->ops[value];
    if (op->kind == TILE_LOOP) {
        print_loop(program, op, value, out);
        return;
    }
    if (print_effect(program, op, out)) return;
    text_append(out, "%%%u = ", value);
    print_definition(program, op, out);
}

void tile_print(const TileProgram *program, Text *out) {
    text_append(out, "kernel %s (", program->name);
    for (uint32_t i = 0; i < program->buffer_count; i++)
        text_append(out, "%s%s%s%s b%u[%lld]", i ? ", " : "",
                    program->buffers[i].local ? "local " : program->buffers[i].written ? "out " : "",
                    program->buffers[i].far ? "far " : "", dtype_name(program->buffers[i].dtype), i,
                    (long long)program->buffers[i].elements);
    text_append(out, ")");
    if (program->tensor.kind)
        text_append(out, " tensor %s %u by %u stages %u%s", tensor_name(program->tensor.kind), program->tensor.rows,
                    program->tensor.lanes, program->tensor.stages, tensor_words(&program->tensor));
    text_append(out, "\n");
    int depth = 0;
    for (uint32_t i = 0; i < program->op_count; i++) {
        if (program->ops[i].kind == TILE_END) depth--;
        text_append(out, "%*s", 2 * (depth > 0 ? depth : 0), "");
        print_op(program, i, out);
        text_append(out, "\n");
        if (program->ops[i].kind == TILE_LOOP) depth++;
    }
}
