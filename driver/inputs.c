// What a model may ask for: the inputs that training, evaluation and sampling have.
//
//     input tok[B,T]:u16   target[B,T]:u16     B of batch_size, T of block_size
//
// In: the graph that a spec was lowered to. Anything else among its inputs would never be filled in.
#include "driver/compile.h"

static bool is_number(const char *name) {
    static const char *const numbers[] = {"learning_rate", "step", "seed", "micro"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (text_equal(numbers[i], name)) return true;
    return false;
}

static bool is_batch(const Graph *graph, const Leaf *leaf, const Config *config) {
    return leaf->stored.rank == 2 && graph_extent(graph, leaf->stored.dims[0]) == config_int(config, "batch_size") &&
           graph_extent(graph, leaf->stored.dims[1]) == config_int(config, "block_size");
}

static bool refuse(const Graph *graph, const Leaf *leaf, const char *why, Diags *diags) {
    Arena *arena = arena_create();
    Text dims = text_create(arena);
    for (int i = 0; i < leaf->stored.rank; i++)
        text_append(&dims, "%s%s=%lld", i ? "," : "", graph_dim_name(graph, leaf->stored.dims[i]),
                    (long long)graph_extent(graph, leaf->stored.dims[i]));
    diag_error(diags, (Place){0}, "%s: input %s[%s] %s", graph_name(graph), leaf->name, text_string(&dims), why);
    diag_note(diags, (Place){0}, "models are given tok and target, both [batch_size, block_size]");
    arena_free(arena);
    return false;
}

// Sampling takes the logits of every position of every row.
static bool logits_fit(const Graph *graph, const Config *config, Diags *diags) {
    NodeId logits = graph_find_output(graph, "logits");
    const DimList *order = logits == NODE_NONE ? NULL : &graph_node(graph, logits)->order;
    if (!order || (order->rank == 3 && graph_extent(graph, order->dims[0]) == config_int(config, "batch_size") &&
                   graph_extent(graph, order->dims[1]) == config_int(config, "block_size")))
        return true;
    return diag_error(diags, (Place){0},
                      "%s: logits must have the dims [batch_size, block_size, words], to sample from them",
                      graph_name(graph));
}

bool model_inputs_fit(const Graph *graph, const Config *config, bool has_loss, Diags *diags) {
    bool tokens = false, targets = false;
    for (LeafId id = 0; id < graph_leaves(graph); id++) {
        const Leaf *leaf = graph_leaf_at(graph, id);
        NodeId node = graph_find_leaf_node(graph, leaf->name);
        if (node == NODE_NONE || graph_node(graph, node)->op != OP_INPUT || is_number(leaf->name)) continue;
        bool is_tokens = text_equal(leaf->name, "tok"), is_targets = text_equal(leaf->name, "target");
        if (!is_tokens && !is_targets) return refuse(graph, leaf, "is never given", diags);
        if (!is_batch(graph, leaf, config)) return refuse(graph, leaf, "does not have the dims of a batch", diags);
        tokens |= is_tokens;
        targets |= is_targets;
    }
    if (tokens && (targets || !has_loss)) return has_loss || logits_fit(graph, config, diags);
    return diag_error(diags, (Place){0},
                      "%s: the %s does not depend on the input '%s', so there is nothing to learn from",
                      graph_name(graph), has_loss ? "loss" : "model", tokens ? "target" : "tok");
}
