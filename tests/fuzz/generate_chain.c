// The parts of a model, each in many spellings, some of them one step away from what a fusion may take (see
// generate.h).
#include <math.h>

#include "tests/fuzz/maker.h"

// ---- norm

// Entry t is what entry t - 1 was: a result of one row, read by another.
static NodeId of_the_row_before(Maker *maker, NodeId x, DimId dim) {
    Graph *graph = maker->graph;
    if (!dim_in(dims_of(maker, x), dim)) return x;
    DimId old = new_dim(maker, "O", extent(maker, dim));
    NodeId before = binary(maker, OP_SUB, build_index(graph, dim), build_const(graph, DTYPE_I32, 1));
    NodeId clamped = binary(maker, OP_MAXIMUM, before, build_const(graph, DTYPE_I32, 0));
    return build_gather(graph, build_rename(graph, x, dim, old), clamped, old);
}

NodeId make_norm(Maker *maker, NodeId x, DimId over) {
    group_begin(maker, "norm");
    NodeId centre = mean(maker, x, dim_bit(over));
    if (chance(maker, 10)) centre = of_the_row_before(maker, centre, maker->T);
    NodeId centred = chance(maker, 2) ? binary(maker, OP_SUB, x, centre) : x;
    NodeId square = mean(maker, binary(maker, OP_MUL, centred, centred), dim_bit(over));
    NodeId shifted = binary(maker, OP_ADD, square, number(maker, 0.01));
    NodeId y = chance(maker, 4) ? binary(maker, OP_DIV, centred, unary(maker, OP_SQRT, shifted))
                                : binary(maker, OP_MUL, centred, unary(maker, OP_RSQRT, shifted));
    if (chance(maker, 2)) y = binary(maker, OP_MUL, y, weight(maker, (DimList){1, {over}}, -1));
    if (chance(maker, 3)) y = binary(maker, OP_ADD, y, weight(maker, (DimList){1, {over}}, 0.3));
    group_end(maker);
    return y;
}

// ---- attention

typedef struct {
    DimId S, K, G, D, E;  // keys, key heads, query heads of a key head, width of queries, width of values
    bool grouped, whole;  // whole: S is as long as T
    NodeId q, k, v, mask; // [B,T,K,G,D] [B,S,K,D] [B,S,K,E]; mask NODE_NONE: none
    bool rows_empty;      // the mask may leave a row without an entry
} Attention;

// x cos - y sin, x sin + y cos over the two halves of D, interleaved or apart.
static NodeId rotated(Maker *maker, NodeId x, DimId D, DimId time) {
    Graph *graph = maker->graph;
    int64_t half = extent(maker, D) / 2;
    DimId P = new_dim(maker, "P", half), R = new_dim(maker, "R", 2);
    bool apart = chance(maker, 2);
    NodeId pairs = build_split(graph, x, D, apart ? R : P, apart ? P : R);
    NodeId a = build_select(graph, pairs, R, 0), b = build_select(graph, pairs, R, 1);
    NodeId place = unary(maker, OP_TO_FLOAT, build_index(graph, time));
    NodeId turn = unary(maker, OP_EXP, scaled(maker, unary(maker, OP_TO_FLOAT, build_index(graph, P)), -0.7));
    NodeId angle = binary(maker, OP_MUL, place, turn);
    NodeId c = unary(maker, OP_COS, angle), s = unary(maker, OP_SIN, angle);
    NodeId entries[2] = {binary(maker, OP_SUB, binary(maker, OP_MUL, a, c), binary(maker, OP_MUL, b, s)),
                         binary(maker, OP_ADD, binary(maker, OP_MUL, a, s), binary(maker, OP_MUL, b, c))};
    NodeId stacked = build_stack(graph, entries, 2, R);
    return build_merge(graph, stacked, apart ? R : P, apart ? P : R, D);
}

// T becomes S: the same length, or the first keys only.
static NodeId as_keys(Maker *maker, const Attention *attention, NodeId x) {
    return attention->whole ? build_rename(maker->graph, x, maker->T, attention->S)
                            : build_prefix(maker->graph, x, maker->T, attention->S);
}

static NodeId heads(Maker *maker, NodeId x, DimId D, const Attention *attention, bool queries) {
    if (queries && attention->grouped) return linear(maker, x, maker->C, (DimList){3, {attention->K, attention->G, D}});
    if (!chance(maker, 3)) return linear(maker, x, maker->C, (DimList){2, {attention->K, D}});
    DimId F = new_dim(maker, "F", extent(maker, attention->K) * extent(maker, D));
    return build_split(maker->graph, linear(maker, x, maker->C, (DimList){1, {F}}), F, attention->K, D);
}

static void project(Maker *maker, Attention *attention, NodeId x) {
    Graph *graph = maker->graph;
    NodeId k, v;
    if (!attention->grouped && attention->D == attention->E && chance(maker, 2)) {
        DimId Z = new_dim(maker, "Z", 3);
        NodeId all = linear(maker, x, maker->C, (DimList){3, {Z, attention->K, attention->D}});
        attention->q = build_select(graph, all, Z, 0);
        k = build_select(graph, all, Z, 1);
        v = build_select(graph, all, Z, 2);
    } else {
        attention->q = heads(maker, x, attention->D, attention, true);
        k = heads(maker, x, attention->D, attention, false);
        v = heads(maker, x, attention->E, attention, false);
    }
    if (chance(maker, 5)) {
        attention->q = make_norm(maker, attention->q, attention->D);
        k = make_norm(maker, k, attention->D);
    }
    if (extent(maker, attention->D) % 2 == 0 && chance(maker, 3)) {
        attention->q = rotated(maker, attention->q, attention->D, maker->T);
        k = rotated(maker, k, attention->D, maker->T);
    }
    attention->k = as_keys(maker, attention, k);
    attention->v = as_keys(maker, attention, v);
}

static void draw_mask(Maker *maker, Attention *attention) {
    Graph *graph = maker->graph;
    NodeId s = build_index(graph, attention->S), t = build_index(graph, maker->T);
    NodeId causal = binary(maker, OP_LE, s, t);
    attention->mask = NODE_NONE;
    switch (below(maker, 8)) {
    case 0: return;
    case 1: { // a window of the last keys
        NodeId width = build_const(graph, DTYPE_I32, (double)(1 + below(maker, 4)));
        NodeId near = binary(maker, OP_LT, binary(maker, OP_SUB, t, s), width);
        attention->mask = binary(maker, OP_AND, causal, near);
        attention->rows_empty = !attention->whole;
        return;
    }
    case 2: { // within documents, or the first key
        NodeId same = binary(maker, OP_EQ, maker->tokens, as_keys(maker, attention, maker->tokens));
        NodeId first = binary(maker, OP_EQ, s, build_const(graph, DTYPE_I32, 0));
        attention->mask = binary(maker, OP_OR, binary(maker, OP_AND, same, causal), first);
        return;
    }
    case 3: // strictly before: row 0 has no key
        attention->mask = unary(maker, OP_NOT, binary(maker, OP_LE, t, s));
        attention->rows_empty = true;
        return;
    default: attention->mask = causal;
    }
}

static NodeId make_scores(Maker *maker, const Attention *attention) {
    NodeId s = build_contract(maker->graph, attention->q, attention->k, dim_bit(attention->D));
    double width = sqrt((double)extent(maker, attention->D));
    switch (below(maker, 6)) {
    case 0: s = binary(maker, OP_DIV, s, number(maker, width)); break;
    case 1: s = binary(maker, OP_MUL, s, weight(maker, (DimList){1, {attention->K}}, -1)); break;
    case 2: break;
    default: s = scaled(maker, s, 1 / width);
    }
    if (chance(maker, 5)) s = scaled(maker, unary(maker, OP_TANH, scaled(maker, s, 1 / 1.5)), 1.5);
    if (chance(maker, 5)) {
        NodeId distance =
            binary(maker, OP_SUB, build_index(maker->graph, attention->S), build_index(maker->graph, maker->T));
        NodeId slope = weight(maker, (DimList){1, {attention->K}}, 0.2);
        s = binary(maker, OP_ADD, s, binary(maker, OP_MUL, slope, unary(maker, OP_TO_FLOAT, distance)));
    }
    return s;
}

// By lse, or spelled out with the largest, or taken over the wrong dim.
static NodeId softmax(Maker *maker, const Attention *attention, NodeId s) {
    group_begin(maker, "softmax");
    DimSet over = dim_bit(chance(maker, 12) ? maker->T : attention->S);
    NodeId p;
    bool safe = !attention->rows_empty && over == dim_bit(attention->S);
    if (safe && chance(maker, 4)) {
        NodeId e = unary(maker, OP_EXP, binary(maker, OP_SUB, s, build_reduce(maker->graph, OP_MAX, s, over)));
        p = binary(maker, OP_DIV, e, build_reduce(maker->graph, OP_SUM, e, over));
    } else {
        p = unary(maker, OP_EXP, binary(maker, OP_SUB, s, build_reduce(maker->graph, OP_LSE, s, over)));
    }
    group_end(maker);
    return p;
}

static NodeId probabilities(Maker *maker, const Attention *attention, NodeId s) {
    Graph *graph = maker->graph;
    bool masked = attention->mask != NODE_NONE;
    if (chance(maker, 5)) { // each score by itself
        NodeId p = chance(maker, 2)
                       ? binary(maker, OP_DIV, number(maker, 1),
                                binary(maker, OP_ADD, number(maker, 1), unary(maker, OP_EXP, unary(maker, OP_NEG, s))))
                       : make_activation(maker, s);
        p = scaled(maker, p, 1 / sqrt((double)extent(maker, attention->S)));
        return masked ? build_where(graph, attention->mask, p, number(maker, 0)) : p;
    }
    if (masked && chance(maker, 8))
        return build_where(graph, attention->mask, softmax(maker, attention, s), number(maker, 0));
    if (masked) s = build_where(graph, attention->mask, s, number(maker, chance(maker, 5) ? -20 : -INFINITY));
    return softmax(maker, attention, s);
}

NodeId make_attention(Maker *maker, NodeId x) {
    int64_t largest = maker->size.largest, T = extent(maker, maker->T);
    bool is_long = maker->size.time > 0; // of several heads and many queries each, which is what chains divide
    Attention attention = {.grouped = !is_long && chance(maker, 3), .whole = T < 3 || !chance(maker, 6)};
    attention.S = new_dim(maker, "S", attention.whole ? T : T - 1);
    attention.K = new_dim(maker, "K", 1 + is_long + below(maker, 3));
    if (attention.grouped) attention.G = new_dim(maker, "G", 1 + below(maker, 3));
    attention.D = new_dim(maker, "D", draw_extent(maker, largest));
    attention.E = chance(maker, 4) ? new_dim(maker, "E", draw_extent(maker, largest)) : attention.D;
    project(maker, &attention, x);
    draw_mask(maker, &attention);
    NodeId s = make_scores(maker, &attention), p = probabilities(maker, &attention, s);
    if (chance(maker, 6)) p = dropout(maker, p);
    if (chance(maker, 8)) add_loss(maker, mean(maker, chance(maker, 2) ? s : p, dims_of(maker, p))); // another reader
    NodeId y = build_contract(maker->graph, p, attention.v, dim_bit(attention.S));
    DimSet out = dim_bit(attention.K) | dim_bit(attention.E) | (attention.grouped ? dim_bit(attention.G) : 0);
    DimList order = {attention.grouped ? 4 : 3, {attention.K, attention.E, maker->C}};
    if (attention.grouped) order = (DimList){4, {attention.K, attention.G, attention.E, maker->C}};
    NodeId w = weight(maker, order, 1 / sqrt((double)graph_elements(maker->graph, out)));
    NodeId z = build_contract(maker->graph, y, w, out & dims_of(maker, y));
    if (chance(maker, 6)) z = dropout(maker, z);
    return chance(maker, 4) ? z : binary(maker, OP_ADD, x, z);
}

// ---- feed-forward

static NodeId sigmoid(Maker *maker, NodeId x) {
    NodeId e = unary(maker, OP_EXP, unary(maker, OP_NEG, x));
    return binary(maker, OP_DIV, number(maker, 1), binary(maker, OP_ADD, number(maker, 1), e));
}

static NodeId gelu(Maker *maker, NodeId x) {
    NodeId inner;
    if (chance(maker, 2)) {
        inner = unary(maker, OP_ERF, scaled(maker, x, 0.7071067811865476));
    } else {
        NodeId cube = binary(maker, OP_MUL, binary(maker, OP_MUL, x, x), x);
        inner =
            unary(maker, OP_TANH, scaled(maker, binary(maker, OP_ADD, x, scaled(maker, cube, 0.044715)), 0.79788456));
    }
    return binary(maker, OP_MUL, scaled(maker, x, 0.5), binary(maker, OP_ADD, number(maker, 1), inner));
}

NodeId make_activation(Maker *maker, NodeId x) {
    group_begin(maker, "activation");
    NodeId y, zero = number(maker, 0);
    switch (below(maker, 9)) {
    case 0: y = binary(maker, OP_MUL, x, sigmoid(maker, x)); break;
    case 1: y = binary(maker, OP_MAXIMUM, x, zero); break;
    case 2: y = binary(maker, OP_MAXIMUM, x, zero), y = binary(maker, OP_MUL, y, y); break;
    case 3: y = unary(maker, OP_TANH, x); break;
    case 4: y = binary(maker, OP_SUB, unary(maker, OP_ABS, x), unary(maker, OP_SIN, x)); break;
    case 5: // log(1 + e^x)
        y = unary(maker, OP_LOG,
                  binary(maker, OP_ADD, number(maker, 1),
                         unary(maker, OP_EXP, binary(maker, OP_MINIMUM, x, number(maker, 8)))));
        break;
    case 6: y = build_where(maker->graph, binary(maker, OP_LT, x, zero), scaled(maker, x, 0.1), x); break;
    default: y = gelu(maker, x);
    }
    group_end(maker);
    return y;
}

NodeId make_feed_forward(Maker *maker, NodeId x) {
    DimId F = new_dim(maker, "F", draw_extent(maker, 2 * maker->size.largest));
    DimList hidden = {1, {F}};
    NodeId u = linear(maker, x, maker->C, hidden), h = u;
    for (uint32_t more = 1 + chance(maker, 4); more > 0; more--)
        h = make_activation(maker, h);
    if (chance(maker, 3)) h = binary(maker, OP_MUL, h, linear(maker, x, maker->C, hidden));
    if (chance(maker, 8)) h = make_norm(maker, h, F);
    if (chance(maker, 6)) h = dropout(maker, h);
    if (chance(maker, 8)) add_loss(maker, mean(maker, chance(maker, 2) ? u : h, dims_of(maker, h))); // another reader
    NodeId y = linear(maker, h, F, (DimList){1, {maker->C}});
    if (chance(maker, 6)) y = dropout(maker, y);
    return chance(maker, 4) ? y : binary(maker, OP_ADD, x, y);
}

// ---- loss head

void make_head(Maker *maker, NodeId x) {
    Graph *graph = maker->graph;
    DimId V = maker->V;
    NodeId logits = linear(maker, x, maker->C, (DimList){1, {V}});
    if (chance(maker, 6)) logits = scaled(maker, unary(maker, OP_TANH, scaled(maker, logits, 0.2)), 5);
    LeafId leaf = graph_leaf(graph, &(Leaf){.name = "target", .stored = {2, {maker->B, maker->T}}, .token_bytes = 2});
    NodeId target = build_input(graph, leaf, DTYPE_I32);
    group_begin(maker, "cross_entropy");
    NodeId lse = build_reduce(graph, OP_LSE, logits, dim_bit(V));
    NodeId own = binary(maker, OP_EQ, build_index(graph, V), target);
    NodeId right = build_reduce(graph, OP_SUM, build_where(graph, own, logits, number(maker, 0)), dim_bit(V));
    NodeId loss = binary(maker, OP_SUB, lse, right);
    group_end(maker);
    if (chance(maker, 6)) loss = binary(maker, OP_ADD, loss, scaled(maker, binary(maker, OP_MUL, lse, lse), 0.01));
    if (chance(maker, 8)) offer(maker, logits);
    add_loss(maker, mean(maker, loss, dims_of(maker, loss)));
}
