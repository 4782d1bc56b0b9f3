// A small GPT-2 in the tensor IR (see transformer.h).
#include "tests/boxes/transformer.h"

#include <math.h>

typedef struct {
    Graph *graph;
    Arena *arena;
    const TransformerSize *size;
    DimId B, T, S, P, V, C, H, D, Z, F;
    NodeId seed, step, micro;
    int layer;
} Model;

static DimList dims(int rank, const DimId *ids) {
    DimList list = {.rank = (uint8_t)rank};
    for (int i = 0; i < rank; i++) list.dims[i] = ids[i];
    return list;
}
#define DIMS(...) dims((int)(sizeof(DimId[]){__VA_ARGS__} / sizeof(DimId)), (DimId[]){__VA_ARGS__})

static NodeId parameter(Model *model, const char *name, DimList order) {
    const char *full = model->layer < 0 ? name : arena_format(model->arena, "h.%d.%s", model->layer, name);
    Leaf leaf = {.name = full, .stored = order, .init = INIT_NORMAL, .init_value = 0.02};
    return build_param(model->graph, graph_leaf(model->graph, &leaf));
}

static NodeId tokens(Model *model, const char *name) {
    Leaf leaf = {.name = name, .stored = DIMS(model->B, model->T), .token_bytes = 2};
    return build_input(model->graph, graph_leaf(model->graph, &leaf), DTYPE_I32);
}

static NodeId scalar_input(Model *model, const char *name) {
    return build_input(model->graph, graph_leaf(model->graph, &(Leaf){.name = name}), DTYPE_I32);
}

static NodeId number(Model *model, double value) { return build_const(model->graph, DTYPE_F32, value); }
static NodeId unary(Model *model, Op op, NodeId a) { return build_unary(model->graph, op, a); }
static NodeId binary(Model *model, Op op, NodeId a, NodeId b) { return build_binary(model->graph, op, a, b); }
static NodeId scale(Model *model, NodeId a, double factor) { return binary(model, OP_MUL, a, number(model, factor)); }

static const char *place(Model *model, const char *name) {
    return model->layer < 0 ? name : arena_format(model->arena, "layer[%d].%s", model->layer, name);
}

static void enter(Model *model, const char *label, const char *name) {
    graph_set_group(model->graph, graph_group(model->graph, label, place(model, name), 0));
}

static NodeId leave(Model *model, NodeId result, const char *name) {
    graph_set_group(model->graph, 0);
    graph_set_name(model->graph, result, place(model, name));
    return result;
}

// ---- operators

static NodeId layernorm(Model *model, NodeId x, const char *weight, const char *name) {
    double reciprocal = 1.0 / (double)graph_extent(model->graph, model->C);
    NodeId gain = parameter(model, weight, DIMS(model->C));
    enter(model, "layernorm", name);
    NodeId mean = scale(model, build_reduce(model->graph, OP_SUM, x, dim_bit(model->C)), reciprocal);
    NodeId centred = binary(model, OP_SUB, x, mean);
    NodeId square = build_reduce(model->graph, OP_SUM, binary(model, OP_MUL, centred, centred), dim_bit(model->C));
    NodeId variance = binary(model, OP_ADD, scale(model, square, reciprocal), number(model, 1e-5));
    NodeId normal = binary(model, OP_MUL, centred, unary(model, OP_RSQRT, variance));
    return leave(model, binary(model, OP_MUL, normal, gain), name);
}

static NodeId softmax(Model *model, NodeId scores) {
    NodeId s = build_index(model->graph, model->S), t = build_index(model->graph, model->T);
    enter(model, "softmax", "p");
    NodeId masked = build_where(model->graph, binary(model, OP_LE, s, t), scores, number(model, -INFINITY));
    NodeId lse = build_reduce(model->graph, OP_LSE, masked, dim_bit(model->S));
    return leave(model, unary(model, OP_EXP, binary(model, OP_SUB, masked, lse)), "p");
}

static NodeId gelu(Model *model, NodeId x) {
    enter(model, "gelu", "u");
    NodeId erf = unary(model, OP_ERF, scale(model, x, sqrt(0.5)));
    NodeId half = scale(model, x, 0.5);
    return leave(model, binary(model, OP_MUL, half, binary(model, OP_ADD, erf, number(model, 1))), "u");
}

static NodeId dropout(Model *model, NodeId x, const char *name) {
    if (!model->size->dropout) return x;
    enter(model, "dropout", name);
    DimList order = graph_node(model->graph, x)->order;
    NodeId bits = build_random(model->graph, model->seed, model->step, model->micro, place(model, name), order);
    NodeId keep = binary(model, OP_LE, number(model, 0.25), bits);
    return leave(model, build_where(model->graph, keep, scale(model, x, 1 / 0.75), number(model, 0)), name);
}

static NodeId cross_entropy(Model *model, NodeId logits, NodeId target) {
    Graph *graph = model->graph;
    enter(model, "cross_entropy", "ce");
    NodeId hit = binary(model, OP_EQ, build_index(graph, model->V), target);
    NodeId chosen = build_reduce(graph, OP_SUM, build_where(graph, hit, logits, number(model, 0)), dim_bit(model->V));
    NodeId lse = build_reduce(graph, OP_LSE, logits, dim_bit(model->V));
    return leave(model, binary(model, OP_SUB, lse, chosen), "ce");
}

// ---- the model

static NodeId attention(Model *model, NodeId a) {
    Graph *graph = model->graph;
    NodeId weight = parameter(model, "attn.c_attn", DIMS(model->C, model->Z, model->H, model->D));
    NodeId output = parameter(model, "attn.c_proj", DIMS(model->H, model->D, model->C));
    NodeId t = build_contract(graph, a, weight, dim_bit(model->C));
    graph_set_order(graph, t, DIMS(model->B, model->T, model->Z, model->H, model->D));
    NodeId q = build_select(graph, t, model->Z, 0), k = build_select(graph, t, model->Z, 1);
    NodeId v = build_rename(graph, build_select(graph, t, model->Z, 2), model->T, model->S);
    NodeId product = build_contract(graph, q, build_rename(graph, k, model->T, model->S), dim_bit(model->D));
    graph_set_order(graph, product, DIMS(model->B, model->H, model->T, model->S));
    NodeId p = softmax(model, scale(model, product, 1 / sqrt((double)model->size->width)));
    NodeId y = build_contract(graph, p, v, dim_bit(model->S));
    graph_set_order(graph, y, DIMS(model->B, model->T, model->H, model->D));
    NodeId o = build_contract(graph, y, output, dim_bit(model->H) | dim_bit(model->D));
    graph_set_order(graph, o, DIMS(model->B, model->T, model->C));
    return dropout(model, o, "o");
}

static NodeId feed_forward(Model *model, NodeId m) {
    Graph *graph = model->graph;
    NodeId into = parameter(model, "mlp.c_fc", DIMS(model->C, model->F));
    NodeId back = parameter(model, "mlp.c_proj", DIMS(model->F, model->C));
    NodeId h = build_contract(graph, m, into, dim_bit(model->C));
    graph_set_order(graph, h, DIMS(model->B, model->T, model->F));
    NodeId r = build_contract(graph, gelu(model, h), back, dim_bit(model->F));
    graph_set_order(graph, r, DIMS(model->B, model->T, model->C));
    return dropout(model, r, "r");
}

static void make_dims(Model *model) {
    Graph *graph = model->graph;
    const TransformerSize *size = model->size;
    int64_t channels = size->heads * size->width;
    model->B = graph_dim(graph, "B", size->batch);
    model->T = graph_dim(graph, "T", size->time);
    model->S = graph_dim(graph, "S", size->time);
    model->P = graph_dim(graph, "P", 2 * size->time);
    model->V = graph_dim(graph, "V", size->vocabulary);
    model->C = graph_dim(graph, "C", channels);
    model->H = graph_dim(graph, "H", size->heads);
    model->D = graph_dim(graph, "D", size->width);
    model->Z = graph_dim(graph, "Z", 3);
    model->F = graph_dim(graph, "F", 4 * channels);
}

Graph *transformer_graph(Arena *arena, const TransformerSize *size) {
    Model model = {.graph = graph_create(arena, "transformer"), .arena = arena, .size = size, .layer = -1};
    Graph *graph = model.graph;
    make_dims(&model);
    NodeId tok = tokens(&model, "tok"), target = tokens(&model, "target");
    if (size->dropout) {
        model.seed = scalar_input(&model, "seed");
        model.step = scalar_input(&model, "step");
        model.micro = scalar_input(&model, "micro");
    }
    NodeId wte = parameter(&model, "wte", DIMS(model.V, model.C)),
           wpe = parameter(&model, "wpe", DIMS(model.P, model.C));
    NodeId x =
        binary(&model, OP_ADD, build_gather(graph, wte, tok, model.V), build_prefix(graph, wpe, model.P, model.T));
    for (model.layer = 0; model.layer < size->layers; model.layer++) {
        x = binary(&model, OP_ADD, x, attention(&model, layernorm(&model, x, "ln_1", "a")));
        x = binary(&model, OP_ADD, x, feed_forward(&model, layernorm(&model, x, "ln_2", "m")));
    }
    model.layer = -1;
    NodeId logits = build_contract(graph, layernorm(&model, x, "ln_f", "f"), wte, dim_bit(model.C));
    graph_set_order(graph, logits, DIMS(model.B, model.T, model.V));
    NodeId loss =
        build_reduce(graph, OP_SUM, cross_entropy(&model, logits, target), dim_bit(model.B) | dim_bit(model.T));
    graph_output(graph, "loss", scale(&model, loss, 1.0 / (double)(size->batch * size->time)));
    return graph;
}
