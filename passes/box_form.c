// Whether some stored nodes make one legal box, and of which form.
//
// product   one contraction; its operands lie in memory. Alone, or (level all) with pointwise nodes of its result's
//           dims.
// row       reductions over the same dims X, all with the row dims R; outputs over R, or over R and X when X is
//           innermost.
//           A reduction is used at its own row only: no move between it and its use.
//           A scatter is a row box of its own, with X the dims that it adds up.
// map       the rest; all outputs have the same dims, and a member is read by another one at its own index only.
//
// Each refusal is a sentence with the values that failed.
#include "base/planted.h"
#include "passes/boxes.h"

static const char *dims_text(const Drawing *drawing, DimSet dims) {
    Text text = text_create(drawing->scratch);
    text_append(&text, "{");
    const char *comma = "";
    for (DimId dim = 0; dim < graph_dims(drawing->graph); dim++) {
        if (!dim_in(dims, dim)) continue;
        text_append(&text, "%s%s", comma, graph_dim_name(drawing->graph, dim));
        comma = ",";
    }
    text_append(&text, "}");
    return text_string(&text);
}

// The condition of this line failed: unless it is waived, that is the answer.
#define REFUSE(...)                                                                                                    \
    do {                                                                                                               \
        if (drawing->waiver->waived == __LINE__) break;                                                                \
        drawing->waiver->failed = __LINE__;                                                                            \
        return arena_format(drawing->context->arena, __VA_ARGS__);                                                     \
    } while (0)

static const Node *node_at(const Drawing *drawing, NodeId id) { return graph_node(drawing->graph, id); }

static NodeId find_inside(const Drawing *drawing, const Box *box, OpClass class) {
    for (uint32_t i = 0; i < box->inside.count; i++)
        if (op_class(node_at(drawing, box->inside.nodes[i])->op) == class) return box->inside.nodes[i];
    return NODE_NONE;
}

static NodeId find_scatter(const Drawing *drawing, const Box *box) {
    for (uint32_t i = 0; i < box->inside.count; i++)
        if (op_scatters(node_at(drawing, box->inside.nodes[i])->op)) return box->inside.nodes[i];
    return NODE_NONE;
}

// ---- map

static const char *map_shape(const Drawing *drawing, Box *box) {
    DimSet dims = node_at(drawing, box->members.nodes[0])->dims;
    for (uint32_t i = 0; i < box->members.count; i++) {
        NodeId member = box->members.nodes[i];
        DimSet other = node_at(drawing, member)->dims;
        if (other != dims) REFUSE("results over %s and over %s", dims_text(drawing, dims), dims_text(drawing, other));
        if (drawing->moved[member])
            REFUSE("a result is read at another %s", dims_text(drawing, drawing->moved[member]));
    }
    box->form = FORM_MAP;
    return NULL;
}

// ---- row

enum { LONG_ROW = 4096 };   // a single row longer than this is not worth losing all other threads for

static const char *row_outputs(const Drawing *drawing, const Box *box) {
    for (uint32_t i = 0; i < box->members.count; i++) {
        const Node *node = node_at(drawing, box->members.nodes[i]);
        if (node->dims == box->rows) continue;
        if (node->dims != (box->rows | box->inner))
            REFUSE("a result over %s in rows of %s reduced over %s", dims_text(drawing, node->dims),
                   dims_text(drawing, box->rows), dims_text(drawing, box->inner));
        for (int k = 0; k < dim_count(box->inner) && k < node->order.rank; k++)
            if (!dim_in(box->inner, node->order.dims[node->order.rank - 1 - k]))
                REFUSE("the reduction runs over %s, which are not the innermost dims of a result",
                       dims_text(drawing, box->inner));
        int64_t length = graph_elements(drawing->graph, box->inner);
        if (box->rows == 0 && length > LONG_ROW) REFUSE("one row of %lld elements", (long long)length);
    }
    return NULL;
}

static const char *row_inside(const Drawing *drawing, const Box *box) {
    DimSet space = box->rows | box->inner;
    for (uint32_t i = 0; i < box->inside.count; i++) {
        NodeId id = box->inside.nodes[i];
        const Node *node = node_at(drawing, id);
        bool is_reduction = op_class(node->op) == CLASS_REDUCE;
        if (is_reduction && node->attr.set != box->inner)
            REFUSE("reductions over %s and over %s", dims_text(drawing, box->inner),
                   dims_text(drawing, node->attr.set));
        if (is_reduction && node->dims != box->rows)
            REFUSE("rows of %s and of %s", dims_text(drawing, box->rows), dims_text(drawing, node->dims));
        DimSet moved = drawing->moved[id];
        if (moved && !PLANTED(shifted_value_in_a_box) && (is_reduction || list_has(box->members, id)))
            REFUSE("a row's result is read at another %s", dims_text(drawing, moved));
        DimSet outside = node->dims & ~moved & ~space;
        if (outside) REFUSE("%s lies outside rows and reduced dims", dims_text(drawing, outside));
    }
    return NULL;
}

static const char *row_shape(const Drawing *drawing, Box *box, NodeId reduction) {
    box->form = FORM_ROW;
    box->rows = node_at(drawing, reduction)->dims;
    box->inner = node_at(drawing, reduction)->attr.set;
    const char *refusal = row_inside(drawing, box);
    return refusal ? refusal : row_outputs(drawing, box);
}

static const char *scatter_shape(const Drawing *drawing, Box *box, NodeId scatter) {
    if (box->members.count > 1) REFUSE("a scatter stands alone");
    const Node *node = node_at(drawing, scatter);
    box->form = FORM_ROW;
    box->rows = node->dims;
    box->inner = 0;
    for (uint32_t k = 0; k < node->operand_count; k++) box->inner |= access_reduced(drawing->graph, scatter, k);
    return NULL;
}

// ---- product

static uint32_t place_inside(const Box *box, NodeId id) {
    uint32_t low = 0, high = box->inside.count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (box->inside.nodes[middle] < id) low = middle + 1;
        else high = middle;
    }
    return low < box->inside.count && box->inside.nodes[low] == id ? low : UINT32_MAX;
}

// Marks what lies below the contraction: moves of its stored operands. `below` is by place inside the box.
static void mark_below(const Drawing *drawing, const Box *box, NodeId id, bool *below) {
    const Node *node = node_at(drawing, id);
    for (uint32_t k = 0; k < node->operand_count; k++) {
        uint32_t place = place_inside(box, node->operands[k]);
        if (place == UINT32_MAX || below[place]) continue;
        below[place] = true;
        mark_below(drawing, box, node->operands[k], below);
    }
}

static bool reads_marked(const Drawing *drawing, const Box *box, NodeId id, const bool *marked) {
    const Node *node = node_at(drawing, id);
    for (uint32_t k = 0; k < node->operand_count; k++) {
        uint32_t place = place_inside(box, node->operands[k]);
        if (place != UINT32_MAX && marked[place]) return true;
    }
    return false;
}

static const char *product_shape(const Drawing *drawing, Box *box, NodeId contract) {
    box->form = FORM_PRODUCT;
    if (drawing->context->fuse != FUSE_ALL && box->members.count > 1)
        REFUSE("products stand alone at level %s", fuse_name(drawing->context->fuse));
    DimSet dims = node_at(drawing, contract)->dims;
    bool *below = ARENA_ARRAY(drawing->scratch, bool, box->inside.count);
    bool *after = ARENA_ARRAY(drawing->scratch, bool, box->inside.count);
    mark_below(drawing, box, contract, below);
    for (uint32_t i = 0; i < box->inside.count; i++) {
        NodeId id = box->inside.nodes[i];
        const Node *node = node_at(drawing, id);
        bool is_member = list_has(box->members, id);
        after[i] = id == contract || reads_marked(drawing, box, id, after);
        if (id != contract && op_class(node->op) == CLASS_CONTRACT)
            REFUSE("two contractions, over %s and over %s", dims_text(drawing, node_at(drawing, contract)->attr.set),
                   dims_text(drawing, node->attr.set));
        if (after[i] && id != contract && op_class(node->op) != CLASS_POINTWISE)
            REFUSE("a %s of the contraction's result", op_name(node->op));
        if (is_member && below[i]) REFUSE("the contraction reads a result of the box");
        if (is_member && !after[i]) REFUSE("a result that does not depend on the contraction");
        if (is_member && node->dims != dims)
            REFUSE("results over %s and over %s", dims_text(drawing, dims), dims_text(drawing, node->dims));
    }
    return NULL;
}

// Without a reduction it is a scatter.
static const char *with_contraction(const Drawing *drawing, NodeId contract, NodeId reduction) {
    const char *summed = dims_text(drawing, node_at(drawing, contract)->attr.set);
    if (reduction == NODE_NONE) return arena_format(drawing->scratch, "a contraction over %s and a scatter", summed);
    return arena_format(drawing->scratch, "a contraction over %s and a reduction over %s", summed,
                        dims_text(drawing, node_at(drawing, reduction)->attr.set));
}

const char *box_form(Drawing *drawing, Box *box) {
    box->rows = box->inner = 0;
    NodeId contract = find_inside(drawing, box, CLASS_CONTRACT), reduction = find_inside(drawing, box, CLASS_REDUCE);
    NodeId scatter = find_scatter(drawing, box);
    if (contract != NODE_NONE && (reduction != NODE_NONE || scatter != NODE_NONE))
        REFUSE("%s", with_contraction(drawing, contract, reduction));
    if (contract != NODE_NONE) return product_shape(drawing, box, contract);
    if (scatter != NODE_NONE) return scatter_shape(drawing, box, scatter);
    if (reduction != NODE_NONE) return row_shape(drawing, box, reduction);
    return map_shape(drawing, box);
}

const char *box_shape(Drawing *drawing, Box *box) {
    Cone cone = cone_collect(drawing, box->members);
    box->inside = cone.inside;
    box->operands = cone.operands;
    return box_form(drawing, box);
}
