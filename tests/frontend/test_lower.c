// The shipped models lower to sound graphs with the names and layouts of their checkpoints.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/frontend/keys.h"

typedef struct {
    Arena *arena;
    Graph *graph;
} Model;

#define GPT2_KEYS "batch_size=4 block_size=16 n_layer=2 n_head=4 n_embd=32 vocab_size=65 "
#define LLAMA_KEYS GPT2_KEYS "n_kv_head=2 n_ffn=88 "

static Model model_lower(const char *name, const char *keys, SpecUse use) {
    Model model = {.arena = arena_create()};
    Diags *diags = diags_create(model.arena);
    Spec *spec = spec_parse(model.arena, name, spec_embedded(name), diags);
    assert_non_null(spec);
    Config *config = keys_create(model.arena);
    assert_true(spec_declare(spec, config, diags));
    keys_assign(model.arena, config, keys, diags);
    model.graph = spec_lower(model.arena, spec, config, use, diags);
    Text text = text_create(model.arena);
    diags_render(diags, &text);
    assert_string_equal(text_string(&text), "");
    assert_non_null(model.graph);
    assert_null(graph_verify(model.graph, model.arena));
    return model;
}

// "h.0.ln_1.weight [32]" for every param, in the order of the graph; grouped dims are one axis.
static const char *params_text(const Model *model) {
    Text text = text_create(model->arena);
    for (LeafId id = 0; id < graph_leaves(model->graph); id++) {
        const Leaf *leaf = graph_leaf_at(model->graph, id);
        if (graph_node(model->graph, graph_find_leaf_node(model->graph, leaf->name))->op != OP_PARAM) continue;
        text_append(&text, "%s [", leaf->name);
        for (int axis = 0, k = 0; axis < leaf->stored_rank; axis++) {
            int64_t extent = 1;
            for (; k < leaf->group_end[axis]; k++)
                extent *= graph_extent(model->graph, leaf->stored.dims[k]);
            text_append(&text, "%s%lld", axis ? "," : "", (long long)extent);
        }
        text_append(&text, "]\n");
    }
    return text_string(&text);
}

static uint32_t count_op(const Graph *graph, Op op) {
    uint32_t count = 0;
    for (NodeId id = 0; id < graph_nodes(graph); id++)
        count += graph_node(graph, id)->op == op;
    return count;
}

static uint32_t count_named(const Graph *graph, const char *name, NodeId *found) {
    uint32_t count = 0;
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        const char *other = graph_node_name(graph, id);
        if (!other || !text_equal(other, name)) continue;
        *found = id;
        count++;
    }
    return count;
}

static const char *order_text(const Model *model, NodeId node) {
    Text text = text_create(model->arena);
    const DimList *order = &graph_node(model->graph, node)->order;
    for (int i = 0; i < order->rank; i++)
        text_append(&text, "%s%s", i ? "," : "", graph_dim_name(model->graph, order->dims[i]));
    return text_string(&text);
}

static void test_gpt2_params(void **state) {
    (void)state;
    Model model = model_lower("gpt2", GPT2_KEYS "bias=True", SPEC_LOSS);
    assert_string_equal(params_text(&model), "wte.weight [65,32]\n"
                                             "wpe.weight [16,32]\n"
                                             "h.0.attn.c_attn.weight [32,96]\n"
                                             "h.0.attn.c_attn.bias [96]\n"
                                             "h.0.attn.c_proj.weight [32,32]\n"
                                             "h.0.attn.c_proj.bias [32]\n"
                                             "h.0.mlp.c_fc.weight [32,128]\n"
                                             "h.0.mlp.c_fc.bias [128]\n"
                                             "h.0.mlp.c_proj.weight [128,32]\n"
                                             "h.0.mlp.c_proj.bias [32]\n"
                                             "h.0.ln_1.weight [32]\n"
                                             "h.0.ln_1.bias [32]\n"
                                             "h.0.ln_2.weight [32]\n"
                                             "h.0.ln_2.bias [32]\n"
                                             "h.1.attn.c_attn.weight [32,96]\n"
                                             "h.1.attn.c_attn.bias [96]\n"
                                             "h.1.attn.c_proj.weight [32,32]\n"
                                             "h.1.attn.c_proj.bias [32]\n"
                                             "h.1.mlp.c_fc.weight [32,128]\n"
                                             "h.1.mlp.c_fc.bias [128]\n"
                                             "h.1.mlp.c_proj.weight [128,32]\n"
                                             "h.1.mlp.c_proj.bias [32]\n"
                                             "h.1.ln_1.weight [32]\n"
                                             "h.1.ln_1.bias [32]\n"
                                             "h.1.ln_2.weight [32]\n"
                                             "h.1.ln_2.bias [32]\n"
                                             "ln_f.weight [32]\n"
                                             "ln_f.bias [32]\n");
    arena_free(model.arena);
}

static void test_llama_params(void **state) {
    (void)state;
    Model model = model_lower("llama", LLAMA_KEYS, SPEC_LOSS);
    assert_string_equal(params_text(&model), "model.embed_tokens.weight [65,32]\n"
                                             "model.layers.0.self_attn.q_proj.weight [32,32]\n"
                                             "model.layers.0.self_attn.k_proj.weight [16,32]\n"
                                             "model.layers.0.self_attn.v_proj.weight [16,32]\n"
                                             "model.layers.0.self_attn.o_proj.weight [32,32]\n"
                                             "model.layers.0.mlp.gate_proj.weight [88,32]\n"
                                             "model.layers.0.mlp.up_proj.weight [88,32]\n"
                                             "model.layers.0.mlp.down_proj.weight [32,88]\n"
                                             "model.layers.0.input_layernorm.weight [32]\n"
                                             "model.layers.0.post_attention_layernorm.weight [32]\n"
                                             "model.layers.1.self_attn.q_proj.weight [32,32]\n"
                                             "model.layers.1.self_attn.k_proj.weight [16,32]\n"
                                             "model.layers.1.self_attn.v_proj.weight [16,32]\n"
                                             "model.layers.1.self_attn.o_proj.weight [32,32]\n"
                                             "model.layers.1.mlp.gate_proj.weight [88,32]\n"
                                             "model.layers.1.mlp.up_proj.weight [88,32]\n"
                                             "model.layers.1.mlp.down_proj.weight [32,88]\n"
                                             "model.layers.1.input_layernorm.weight [32]\n"
                                             "model.layers.1.post_attention_layernorm.weight [32]\n"
                                             "model.norm.weight [32]\n");
    arena_free(model.arena);
}

// Products are contractions, not multiplied and summed: 6 in each layer of gpt2 (qkv, scores, values, out, up, down), 9
// of llama.
static void test_counts(void **state) {
    (void)state;
    static const struct {
        const char *model, *keys;
        uint32_t nodes, contractions, groups;
    } cases[] = {
        {"gpt2", GPT2_KEYS, 137, 13, 10},
        {"gpt2", GPT2_KEYS "bias=True gelu=tanh dropout=0.1", 205, 13, 17},
        {"gpt2", GPT2_KEYS "n_layer=12", 627, 73, 50},
        {"llama", LLAMA_KEYS, 176, 19, 14},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Model model = model_lower(cases[i].model, cases[i].keys, SPEC_LOSS);
        assert_int_equal(graph_nodes(model.graph), cases[i].nodes);
        assert_int_equal(count_op(model.graph, OP_CONTRACT), cases[i].contractions);
        assert_int_equal(graph_groups(model.graph), cases[i].groups);
        arena_free(model.arena);
    }
}

static void test_dims(void **state) {
    (void)state;
    Model model = model_lower("llama", LLAMA_KEYS, SPEC_LOSS);
    static const struct {
        const char *name;
        int64_t extent;
    } dims[] = {{"B", 4}, {"T", 16}, {"S", 16}, {"V", 65}, {"C", 32}, {"F", 88},
                {"K", 2}, {"G", 2},  {"D", 8},  {"R", 2},  {"E", 4}};
    assert_int_equal(graph_dims(model.graph), sizeof dims / sizeof *dims);
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        DimId dim;
        assert_true(graph_find_dim(model.graph, dims[i].name, &dim));
        assert_int_equal(graph_extent(model.graph, dim), dims[i].extent);
    }
    arena_free(model.arena);
}

static void test_initial_values(void **state) {
    (void)state;
    Model model = model_lower("gpt2", GPT2_KEYS "bias=True", SPEC_LOSS);
    static const struct {
        const char *name;
        InitKind kind;
        double value;
    } leaves[] = {{"wte.weight", INIT_NORMAL, 0.02},
                  {"h.1.attn.c_proj.weight", INIT_NORMAL, 0.01},
                  {"h.1.mlp.c_fc.bias", INIT_CONSTANT, 0},
                  {"h.1.ln_2.weight", INIT_CONSTANT, 1}};
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        NodeId node = graph_find_leaf_node(model.graph, leaves[i].name);
        assert_int_not_equal(node, NODE_NONE);
        const Leaf *leaf = graph_leaf_at(model.graph, graph_node(model.graph, node)->attr.leaf);
        assert_int_equal(leaf->init, leaves[i].kind);
        assert_true(leaf->init_value == leaves[i].value);
    }
    arena_free(model.arena);
}

// Reports and choices find values by name, and declared dims give the storage order.
static void test_names(void **state) {
    (void)state;
    Model model = model_lower("gpt2", GPT2_KEYS, SPEC_LOSS);
    static const struct {
        const char *name, *order;
    } values[] = {{"x", "B,T,C"},
                  {"layer[0].t", "B,T,Z,H,D"},
                  {"layer[1].s", "B,H,T,S"},
                  {"layer[1].p", "B,H,T,S"},
                  {"layer[1].y", "B,T,H,D"},
                  {"layer[0].x", "B,T,C"},
                  {"layer[0].x.1", "B,T,C"},
                  {"layer[1].u", "B,T,F"},
                  {"layer[0].a.variance", "B,T"},
                  {"logits", "B,T,V"},
                  {"loss", ""}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        NodeId node = NODE_NONE;
        assert_int_equal(count_named(model.graph, values[i].name, &node), 1);
        assert_string_equal(order_text(&model, node), values[i].order);
    }
    arena_free(model.arena);
}

static void test_groups(void **state) {
    (void)state;
    Model model = model_lower("gpt2", GPT2_KEYS "n_layer=1", SPEC_LOSS);
    static const char *const expected[][2] = {{"layernorm", "layer[0].a"}, {"softmax", "layer[0].p"},
                                              {"layernorm", "layer[0].m"}, {"gelu", "layer[0].u"},
                                              {"layernorm", "logits"},     {"cross_entropy", "loss"}};
    assert_int_equal(graph_groups(model.graph), sizeof expected / sizeof *expected);
    for (GroupId id = 1; id <= graph_groups(model.graph); id++) {
        assert_string_equal(graph_group_at(model.graph, id)->label, expected[id - 1][0]);
        assert_string_equal(graph_group_at(model.graph, id)->place, expected[id - 1][1]);
        assert_int_equal(graph_group_at(model.graph, id)->forward, 0);
    }
    NodeId product;
    assert_int_equal(count_named(model.graph, "layer[0].s", &product), 1);
    assert_int_equal(graph_node_group(model.graph, product), 0);
    arena_free(model.arena);
}

static void test_uses(void **state) {
    (void)state;
    Model loss = model_lower("gpt2", GPT2_KEYS "dropout=0.2", SPEC_LOSS);
    assert_int_equal(count_op(loss.graph, OP_RANDOM), 1 + 3 * 2);
    assert_int_not_equal(graph_find_leaf_node(loss.graph, "seed"), NODE_NONE);

    Model eval = model_lower("gpt2", GPT2_KEYS "dropout=0.2", SPEC_EVAL);
    assert_int_equal(count_op(eval.graph, OP_RANDOM), 0);
    assert_int_equal(graph_find_leaf_node(eval.graph, "seed"), NODE_NONE);
    assert_int_not_equal(graph_find_output(eval.graph, "loss"), NODE_NONE);

    Model logits = model_lower("gpt2", GPT2_KEYS "dropout=0.2", SPEC_LOGITS);
    assert_int_equal(count_op(logits.graph, OP_RANDOM), 0);
    assert_int_equal(graph_find_leaf_node(logits.graph, "target"), NODE_NONE);
    assert_int_equal(graph_outputs(logits.graph), 1);
    assert_string_equal(order_text(&logits, graph_find_output(logits.graph, "logits")), "B,T,V");
    arena_free(loss.arena);
    arena_free(eval.arena);
    arena_free(logits.arena);
}

// Two calls never draw the same numbers.
static void test_sites(void **state) {
    (void)state;
    Model model = model_lower("gpt2", GPT2_KEYS "dropout=0.2", SPEC_LOSS);
    for (NodeId a = 0; a < graph_nodes(model.graph); a++) {
        for (NodeId b = 0; b < a; b++) {
            const Node *first = graph_node(model.graph, a), *second = graph_node(model.graph, b);
            if (first->op == OP_RANDOM && second->op == OP_RANDOM)
                assert_string_not_equal(first->attr.site, second->attr.site);
        }
    }
    arena_free(model.arena);
}

// Tokens of more than 65536 kinds need four bytes in files.
static void test_token_width(void **state) {
    (void)state;
    static const struct {
        const char *vocabulary;
        unsigned bytes;
    } cases[] = {{"vocab_size=65536", 2}, {"vocab_size=65537", 4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *arena = arena_create();
        Model model = model_lower("llama", arena_format(arena, LLAMA_KEYS "%s", cases[i].vocabulary), SPEC_LOSS);
        const Node *tok = graph_node(model.graph, graph_find_leaf_node(model.graph, "tok"));
        assert_int_equal(graph_leaf_at(model.graph, tok->attr.leaf)->token_bytes, cases[i].bytes);
        assert_int_equal(tok->dtype, DTYPE_I32);
        arena_free(model.arena);
        arena_free(arena);
    }
}

static void test_embedded(void **state) {
    (void)state;
    assert_null(spec_embedded("prelude"));
    assert_null(spec_embedded("nonesuch"));
    assert_non_null(spec_embedded("llama"));
    assert_non_null(strstr(spec_prelude(), "fn softmax(S)(x)"));
}

static void test_tree(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Spec *spec = spec_parse(
        arena, "m", "model m\ndim C=4 F=8\nparam W[(C,F)] ones as \"w\" if true\nu[C] = sum(F) -W / 2\n", diags);
    assert_non_null(spec);
    Text text = text_create(arena);
    spec_print(spec, &text);
    assert_string_equal(text_string(&text),
                        "model m\n  dim C\n    number 4\n  dim F\n    number 8\n"
                        "  param W [C,F] \"w\"\n    init constant\n      number 1\n    if\n      true\n"
                        "  assign u[C]\n    sum (F)\n      /\n        -\n          name W\n        number 2\n");
    assert_string_equal(spec_name(spec), "m");
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2_params), cmocka_unit_test(test_llama_params),   cmocka_unit_test(test_counts),
        cmocka_unit_test(test_dims),        cmocka_unit_test(test_initial_values), cmocka_unit_test(test_names),
        cmocka_unit_test(test_groups),      cmocka_unit_test(test_uses),           cmocka_unit_test(test_sites),
        cmocka_unit_test(test_token_width), cmocka_unit_test(test_embedded),       cmocka_unit_test(test_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
