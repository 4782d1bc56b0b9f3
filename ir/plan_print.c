// A Plan as text; ir/plan_parse.c reads it back, and print(parse(print(plan))) is print(plan).
//
//     plan "gpt2"
//     dim B=12 T=64 C=128
//     group 1 "layernorm" at "layer[0].a"
//     value %0 param f32[C] @ (C) "ln.weight" stored(C) init constant(1) state+0 bytes 512
//     value %1 temporary f32[B,T,C] @ (B, T, C) name "layer[0].a" arena+0 bytes 393216
//     value %2 output f32[C] @ (C) name "ln.weight" next_of %0 in_place state+0 bytes 512
//     step 0 row "layernorm" at "layer[0].a" tiles inner(C) cut(B,T)/4 wait flops 98304 bytes 786944
//       in %0 none
//       out %1
//       region {
//         ... node and output lines of graph text ...
//       }
//     memory arena 393216 state 512 scratch 0
//
// A layout piece is `dims / divisor % extent`; the divisor is left out when it is 1, the extent when it is what is left
// of the dims: F/32, C, F%32, (Z,H,D).
#include "ir/plan_text.h"

const char *const value_kind_words[] = {
    [VALUE_INPUT] = "input", [VALUE_STATE] = "state", [VALUE_TEMPORARY] = "temporary", [VALUE_OUTPUT] = "output"};
const char *const space_words[] = {[SPACE_STATE] = "state", [SPACE_ARENA] = "arena",
                                   [SPACE_SCRATCH] = "scratch"};
const char *const edge_words[] = {[EDGE_NONE] = "none", [EDGE_SAME] = "same", [EDGE_ALL] = "all"};

int64_t layout_piece_whole(const Graph *dims, const LayoutPiece *piece) {
    int64_t flat = graph_elements(dims, dim_list_set(&piece->dims));
    return (flat - 1) / piece->divisor + 1;
}

static void print_layout(const Graph *dims, const Layout *layout, Text *out) {
    text_append(out, "(");
    for (int i = 0; i < layout->count; i++) {
        const LayoutPiece *piece = &layout->pieces[i];
        bool joined = piece->dims.rank != 1;
        text_append(out, "%s%s", i ? ", " : "", joined ? "(" : "");
        dims_print(dims, &piece->dims, out);
        if (joined) text_append(out, ")");
        if (piece->divisor != 1) text_append(out, "/%lld", (long long)piece->divisor);
        if (piece->extent != layout_piece_whole(dims, piece)) text_append(out, "%%%lld", (long long)piece->extent);
    }
    text_append(out, ")");
}

// band(T, S) ..0: from T-index plus low to T-index plus high; an open end is left out.
static void print_band(const Graph *dims, const Band *band, Text *out) {
    if (!band->is_set) return;
    text_append(out, " band(%s, %s)", graph_dim_name(dims, band->row), graph_dim_name(dims, band->column));
    if (band->low > -BAND_OPEN) text_append(out, " from %lld", (long long)band->low);
    if (band->high < BAND_OPEN) text_append(out, " to %lld", (long long)band->high);
}

const char *copy_name(Arena *arena, const Graph *dims, const char *param, DType dtype, const Layout *layout) {
    Text text = text_create(arena);
    text_append(&text, "%s in ", param);
    if (dtype != DTYPE_F32) text_append(&text, "%s ", dtype_name(dtype));
    print_layout(dims, layout, &text);
    return text_string(&text);
}

static void print_value(const Plan *plan, ValueId id, Text *out) {
    const Value *value = &plan->values[id];
    const char *kind = value->is_param ? "param" : value->is_copy ? "copy" : value_kind_words[value->kind];
    text_append(out, "value %%%u %s %s[", id, kind, dtype_name(value->dtype));
    dims_print(plan->dims, &value->order, out);
    text_append(out, "] @ ");
    print_layout(plan->dims, &value->layout, out);
    print_band(plan->dims, &value->band, out);
    if (value->parts > 1) text_append(out, " parts %u", value->parts);
    if (value->rounds > 1) text_append(out, " rounds %u", value->rounds);
    if (value->leaf) {
        text_append(out, " ");
        leaf_print(plan->dims, value->leaf, value->kind == VALUE_INPUT, out);
    } else if (value->name) {
        text_append(out, " name ");
        text_append_quoted(out, value->name);
    }
    if (value->next_of != VALUE_NONE) text_append(out, " next_of %%%u", value->next_of);
    if (value->in_place) text_append(out, " in_place");
    if (value->is_over) text_append(out, " over %%%u", value->over);
    bool placed = value->offset || value->bytes || value->space != SPACE_STATE;  // else as draw_boxes leaves it
    if (placed) text_append(out, " %s+%zu", space_words[value->space], value->offset);
    if (value->bytes) text_append(out, " bytes %zu", value->bytes);
    text_append(out, "\n");
}

static void print_dims_note(const Graph *dims, const char *word, DimList list, Text *out) {
    text_append(out, " %s(", word);
    dims_print(dims, &list, out);
    text_append(out, ")");
}

// Counts of flops and bytes in full; a fraction, or what is beyond exact integers, as the shortest decimal.
static void print_count(const char *word, double count, Text *out) {
    text_append(out, " %s ", word);
    if (count >= 0 && count < 0x1p53 && count == (double)(int64_t)count)
        text_append(out, "%.0f", count);
    else
        text_append_double(out, count);
}

static void print_how(const Plan *plan, const Step *step, Text *out) {
    text_append(out, " %s", engine_name(step->engine));
    if (step->inner) {
        DimList inner = {0};
        for (DimId dim = 0; dim < graph_dims(plan->dims); dim++)
            if (dim_in(step->inner, dim)) inner.dims[inner.rank++] = dim;
        print_dims_note(plan->dims, "inner", inner, out);
    }
    print_band(plan->dims, &step->band, out);
    if (step->cut.pieces) {
        print_dims_note(plan->dims, "cut", step->cut.dims, out);
        text_append(out, "/%u", step->cut.pieces);
        if (step->cut.groups) text_append(out, " groups %u", step->cut.groups);
        if (step->cut.rounds) text_append(out, " rounds %u", step->cut.rounds);
        if (step->cut.rounds) print_dims_note(plan->dims, "over", step->cut.over, out);
    }
    if (step->wait) text_append(out, " wait");
    if (step->joined) text_append(out, " joined");
    if (step->chained) text_append(out, " chained");
    if (step->tile_rows) text_append(out, " tile %u by %u", step->tile_rows, step->tile_lanes);
    const TensorTile *tensor = &step->tensor;
    if (tensor->kind) text_append(out, " tensor %s", tensor_name(tensor->kind));
    if (tensor->rows)
        text_append(out, " %u by %u stages %u%s", tensor->rows, tensor->lanes, tensor->stages,
                    tensor_words(tensor));
    if (step->flops != 0 || step->bytes != 0) {
        print_count("flops", step->flops, out);
        print_count("bytes", step->bytes, out);
    }
}

static void print_step(const Plan *plan, uint32_t s, Text *out) {
    const Step *step = &plan->steps[s];
    text_append(out, "step %u %s ", s, form_name(step->form));
    text_append_quoted(out, step->label ? step->label : "");
    text_append(out, " at ");
    text_append_quoted(out, step->place ? step->place : "");
    print_how(plan, step, out);
    if (step->operand_count) text_append(out, "\n  in");
    for (uint32_t k = 0; k < step->operand_count; k++)
        text_append(out, "%s %%%u %s", k ? "," : "", step->operands[k], edge_words[step->edges[k]]);
    text_append(out, "\n  out");
    for (uint32_t k = 0; k < step->output_count; k++)
        text_append(out, "%s %%%u", k ? "," : "", step->outputs[k]);
    text_append(out, "\n  region {\n");
    graph_print_body(step->region, out, 4);
    text_append(out, "  }\n");
}

void plan_print(const Plan *plan, Text *out) {
    text_append(out, "plan ");
    text_append_quoted(out, graph_name(plan->dims));
    text_append(out, "\n");
    graph_print_declarations(plan->dims, out);
    for (ValueId id = 0; id < plan->value_count; id++)
        print_value(plan, id, out);
    for (uint32_t s = 0; s < plan->step_count; s++)
        print_step(plan, s, out);
    if (!plan->arena_bytes && !plan->state_bytes) return;
    text_append(out, "memory arena %zu state %zu scratch %zu", plan->arena_bytes, plan->state_bytes,
                plan->scratch_bytes);
    if (plan->workspace_bytes) text_append(out, " workspace %zu", plan->workspace_bytes);
    if (plan->is_persistent) text_append(out, " persistent");
    text_append(out, "\n");
}
