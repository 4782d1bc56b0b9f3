// One value's story, fact by fact: see story.h and explain_why.
//
//     is           exp(sub(where(..), ..)), of softmax: f32[B,H,T,S], 12 x 4 x 64 x 64, 786k bytes, 197k flops
//     computed by  step 20, row softmax at layer[0].p, forward
//     stored       scratch+1441792, 65536 bytes of each thread: one piece of 12
//     read by      step 21, product at layer[0].y, forward: the same piece
//     backward     kept: 2 steps of the backward part read it
//     refused      merge product with softmax at layer[0].p: a contraction over {D} and a reduction over {S}
#include <string.h>

#include "driver/explain/story.h"

static const char *const part_names[] = {
    [PART_FORWARD] = "forward", [PART_BACKWARD] = "backward", [PART_OPTIMIZER] = "optimizer"};

static void add_fact(const Telling *telling, Story *story, const char *title, const char *text) {
    story->facts = arena_grow(telling->arena, story->facts, &story->capacity, story->count + 1, sizeof(Fact));
    bool is_next = false;
    for (size_t i = story->count; i-- > 0 && !is_next;) {
        if (!story->facts[i].title) continue;
        is_next = text_equal(story->facts[i].title, title);
        break;
    }
    story->facts[story->count++] = (Fact){.title = is_next ? NULL : title, .text = text};
}

#define ADD(title, ...) add_fact(telling, story, title, arena_format(telling->arena, __VA_ARGS__))

static const char *quantity(const Telling *telling, double value) {
    return explain_quantity(telling->arena, value);
}

// Another way of reading its operand: no arithmetic, nothing new to store.
static bool is_view(const Graph *graph, NodeId id) {
    Op op = graph_node(graph, id)->op;
    return op_class(op) == CLASS_MOVE && op != OP_PAD && op != OP_STACK;
}

// ---- what it is

static const char *extents_text(const Telling *telling, const Graph *graph, const DimList *order) {
    Text text = text_create(telling->arena);
    for (int i = 0; i < order->rank; i++)
        text_append(&text, "%s%lld", i ? " x " : "", (long long)graph_extent(graph, order->dims[i]));
    return order->rank ? text_string(&text) : "one number";
}

static void tell_what(const Telling *telling, Story *story, const Graph *graph, NodeId id) {
    const Node *node = graph_node(graph, id);
    GroupId group = graph_node_group(graph, id);
    const char *of = group ? arena_format(telling->arena, ", of %s", graph_group_at(graph, group)->label) : "";
    double bytes = (double)graph_elements(graph, node->dims) * (double)dtype_bytes(node->dtype);
    double flops = formula_flops(graph, id);
    ADD("is", "%s%s", formula_text(graph, id, telling->arena), of);
    ADD("size", "%s, %s: %s bytes%s", explain_type(graph, node->dtype, &node->order, telling->arena),
        extents_text(telling, graph, &node->order), quantity(telling, bytes),
        flops > 0 ? arena_format(telling->arena, ", %s flops", quantity(telling, flops)) : "");
}

// ---- boxes

static const char *step_text(const Telling *telling, uint32_t at) {
    const Step *step = &telling->plan->steps[at];
    const char *place = explain_place(telling->plan, step->place, telling->arena);
    const char *form = text_equal(form_name(step->form), step->label) ? "" : form_name(step->form);
    return arena_format(telling->arena, "step " FIGURE("%u") ", %s%s%s %s%s, %s", at, form, *form ? " " : "",
                        step->label, strncmp(place, "to ", 3) == 0 ? "" : "at ", place, part_names[telling->parts[at]]);
}

static bool step_holds(const Telling *telling, uint32_t at, NodeId id) {
    const Held *held = &telling->held[at];
    for (uint32_t i = 0; i < held->count; i++)
        if (held->nodes[i] == id) return true;
    return false;
}

static void tell_boxes(const Telling *telling, Story *story, NodeId id) {
    const Plan *plan = telling->plan;
    const char *title = is_view(telling->graph, id) ? "read through" : "computed by";
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        if (!step_holds(telling, i, id)) continue;
        const Step *step = &plan->steps[i];
        ADD(title, "%s: box of %u primitives, %s flops, %s bytes, %s", step_text(telling, i), telling->held[i].count,
            quantity(telling, step->flops), quantity(telling, step->bytes),
            step->engine == ENGINE_TILES ? "by tiles" : plan->workspace_bytes > 0 ? "by cuBLASLt" : "by OpenBLAS");
        count++;
    }
    if (count == 0) ADD(title, "nothing: no box needs it");
}

// ---- memory

static const char *const space_names[] = {
    [SPACE_STATE] = "states", [SPACE_ARENA] = "arena", [SPACE_SCRATCH] = "scratch"};

static const char *layout_text(const Telling *telling, const Value *value) {
    const Graph *dims = telling->plan->dims;
    const char *kind = layout_is_plain(dims, &value->layout) ? "plain" : "panels";
    return copy_name(telling->arena, dims, kind, DTYPE_F32, &value->layout);
}

static const char *place_text(const Telling *telling, ValueId id) {
    const Value *value = &telling->plan->values[id];
    const Cut *window = plan_windows(telling->plan, plan_nest(telling->plan, telling->arena), telling->arena)[id];
    const char *where = "";
    if (window) where = arena_format(telling->arena, " of each thread: one piece of %u", window->pieces);
    else if (value->parts > 1)
        where = arena_format(telling->arena, ": %u parts, whose sum it is", value->parts);
    return arena_format(telling->arena, "%s+" FIGURE("%zu") ", %zu bytes%s", space_names[value->space], value->offset,
                        value->bytes, where);
}

static void tell_copies(const Telling *telling, Story *story, NodeId id, ValueId held) {
    for (ValueId v = 0; v < telling->plan->value_count; v++) {
        if (v == held || telling->node_of[v] != id) continue;
        uint32_t by = telling->writer[v];
        ADD("copied", "%s; %s; %s", layout_text(telling, &telling->plan->values[v]), place_text(telling, v),
            by == STEP_NONE ? "kept between runs" : step_text(telling, by));
    }
}

static void tell_memory(const Telling *telling, Story *story, NodeId id, ValueId held) {
    if (held == VALUE_NONE) {
        ADD("stored", is_view(telling->graph, id) ? "nowhere: another way of reading its operand"
                                                  : "nowhere: it lives in registers inside its box");
        return;
    }
    ADD("stored", "%s", place_text(telling, held));
    ADD("layout", "%s", layout_text(telling, &telling->plan->values[held]));
    tell_copies(telling, story, id, held);
}

// ---- readers

static const char *const edge_names[] = {
    [EDGE_NONE] = "there before the run", [EDGE_SAME] = "the same piece", [EDGE_ALL] = "all pieces"};

static void tell_readers(const Telling *telling, Story *story, NodeId id) {
    const Plan *plan = telling->plan;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const Step *step = &plan->steps[i];
        for (uint32_t k = 0; k < step->operand_count; k++)
            if (telling->node_of[step->operands[k]] == id)
                ADD("read by", "%s: %s", step_text(telling, i), edge_names[step->edges[k]]);
    }
    for (uint32_t i = 0; i < graph_outputs(telling->graph); i++) {
        const Output *output = graph_output_at(telling->graph, i);
        if (output->node == id) ADD("read by", "the caller, as output \"%s\"", output->name);
    }
}

// ---- forward and backward

static void tell_backward(const Telling *telling, Story *story, NodeId id) {
    const Plan *plan = telling->plan;
    uint32_t holders[3] = {0}, readers[3] = {0};
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const Step *step = &plan->steps[i];
        holders[telling->parts[i]] += step_holds(telling, i, id);
        bool reads = false;
        for (uint32_t k = 0; k < step->operand_count; k++)
            reads = reads || (telling->node_of[step->operands[k]] == id && !text_equal(step->label, "pack"));
        readers[telling->parts[i]] += reads;
    }
    bool computes = explain_computes(graph_node(telling->graph, id));
    if (readers[PART_BACKWARD] && holders[PART_FORWARD])
        ADD("backward", "kept: %u step%s of the backward part read%s it", readers[PART_BACKWARD],
            readers[PART_BACKWARD] == 1 ? "" : "s", readers[PART_BACKWARD] == 1 ? "s" : "");
    if (holders[PART_FORWARD] && holders[PART_BACKWARD] && computes)
        ADD("backward", "computed again by %u step%s of the backward part", holders[PART_BACKWARD],
            holders[PART_BACKWARD] == 1 ? "" : "s");
    if (holders[PART_FORWARD] && !readers[PART_BACKWARD] && !holders[PART_BACKWARD])
        ADD("backward", "neither kept nor computed again: the backward part does not need it");
}

// ---- strands and bands

// Chains inside of the strand of steps `first` to `end`.
static void tell_chains(const Telling *telling, Story *story, NodeId id, uint32_t first, uint32_t end) {
    const Plan *plan = telling->plan;
    uint32_t next = 0;
    for (uint32_t s = first; s < end; s = next) {
        next = plan_chain_end(plan, s);
        uint32_t inside = 0;
        for (uint32_t i = s; i < next; i++) inside += step_holds(telling, i, id);
        if (next - s < 2 || inside == 0) continue;
        uint32_t ranges = plan->steps[s].cut.pieces / plan->steps[first].cut.pieces;
        ADD("chain", "of steps " FIGURE("%u to %u") ", inside of the strand: each piece of it in %u ranges", s,
            next - 1, ranges);
    }
}

static void tell_strand(const Telling *telling, Story *story, NodeId id) {
    const Plan *plan = telling->plan;
    uint32_t next = 0;
    for (uint32_t first = 0; first < plan->step_count; first = next) {
        next = plan_strand_end(plan, first);
        uint32_t inside = 0;
        for (uint32_t i = first; i < next; i++)
            inside += step_holds(telling, i, id);
        if (next - first < 2 || inside == 0) continue;
        const Cut *cut = &plan->steps[first].cut;
        ADD("strand", "of steps " FIGURE("%u to %u") ": each thread runs them piece by piece, %u pieces", first,
            next - 1, cut->pieces);
        tell_chains(telling, story, id, first, next);
    }
}

static const char *band_text(const Telling *telling, const Band *band) {
    const Graph *dims = telling->plan->dims;
    Text text = text_create(telling->arena);
    text_append(&text, "of (%s, %s) only", graph_dim_name(dims, band->row), graph_dim_name(dims, band->column));
    if (band->low > -BAND_OPEN) text_append(&text, " %lld <=", (long long)band->low);
    text_append(&text, " %s - %s", graph_dim_name(dims, band->column), graph_dim_name(dims, band->row));
    if (band->high < BAND_OPEN) text_append(&text, " <= %lld", (long long)band->high);
    return text_string(&text);
}

static void tell_bands(const Telling *telling, Story *story, NodeId id, ValueId held) {
    const Plan *plan = telling->plan;
    if (held != VALUE_NONE && plan->values[held].band.is_set)
        ADD("band", "%s is written", band_text(telling, &plan->values[held].band));
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].band.is_set && step_holds(telling, i, id))
            ADD("band", "step " FIGURE("%u") ": %s is computed, by whole tiles", i,
                band_text(telling, &plan->steps[i].band));
}

// ---- candidates

// Decisions without nodes say their place: the value itself, or a box that computes it. Without one they are about all
// that is computed.
static bool is_about(const Telling *telling, const Decision *decision, NodeId id, const char *name) {
    for (size_t i = 0; i < decision->node_count; i++)
        if (decision->nodes[i] == id) return true;
    if (decision->node_count) return false;
    const char *own = formula_name(telling->graph, id);
    if (text_equal(decision->place, name) || (own && text_equal(decision->place, own))) return true;
    if (*decision->place == '\0') return graph_node(telling->graph, id)->operand_count > 0;
    for (uint32_t i = 0; i < telling->plan->step_count; i++)
        if (text_equal(decision->place, telling->plan->steps[i].place) && step_holds(telling, i, id)) return true;
    return false;
}

static void tell_decisions(const Telling *telling, Story *story, NodeId id, const char *name) {
    static const char *const titles[] = {"made", "near miss", "refused"};
    const Ledger *ledger = telling->shown->ledger;
    bool is_any = false;
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < ledger_count(ledger); i++) {
            const Decision *decision = ledger_at(ledger, i);
            if ((decision->made ? 0 : decision->near ? 1 : 2) != kind || !is_about(telling, decision, id, name))
                continue;
            const char *place = explain_place(telling->plan, decision->place, telling->arena);
            const char *at = *place == '\0' ? "" : strncmp(place, "to ", 3) == 0 ? " " : " at ";
            const char *saves = decision->made ? "; saves" : "; would save";
            Text text = text_create(telling->arena);
            text_append(&text, "%s%s%s: %s", decision->what, at, place, decision->reason);
            if (decision->bytes_saved != 0)
                text_append(&text, "%s %s bytes", saves, quantity(telling, decision->bytes_saved));
            if (decision->flops_saved != 0)
                text_append(&text, "%s %s flops", saves, quantity(telling, decision->flops_saved));
            add_fact(telling, story, titles[kind], text_string(&text));
            is_any = true;
        }
    }
    if (is_any) return;
    bool is_given = graph_node(telling->graph, id)->operand_count == 0;
    ADD("candidates",
        is_given ? "none: it is given, not computed" : "none: no box that holds it borders on another one");
}

// ---- the stories

// The value that holds the next value of a state, or VALUE_NONE.
static ValueId next_value(const Telling *telling, ValueId state) {
    for (ValueId v = 0; v < telling->plan->value_count; v++)
        if (telling->plan->values[v].next_of == state && telling->writer[v] != STEP_NONE) return v;
    return VALUE_NONE;
}

static void tell_leaf(const Telling *telling, Story *story, NodeId id, ValueId held) {
    const Node *node = graph_node(telling->graph, id);
    const Leaf *leaf = graph_leaf_at(telling->graph, node->attr.leaf);
    double bytes = (double)graph_elements(telling->graph, node->dims) * (double)dtype_bytes(node->dtype);
    if (node->op == OP_INPUT)
        ADD("is", "input \"%s\", bound before each run", leaf->name);
    else
        ADD("is", "%s \"%s\" in files%s%s, begins as %s(%g)", op_name(node->op), leaf->name,
            leaf->spec_name ? "; in the spec " : "", leaf->spec_name ? leaf->spec_name : "",
            leaf->init == INIT_NORMAL ? "normal" : "constant", leaf->init_value);
    ADD("size", "%s, %s: %s bytes", explain_type(telling->graph, node->dtype, &node->order, telling->arena),
        extents_text(telling, telling->graph, &node->order), quantity(telling, bytes));
    tell_memory(telling, story, id, held);
    ValueId next = held == VALUE_NONE ? VALUE_NONE : next_value(telling, held);
    if (next != VALUE_NONE)
        ADD("written by", "%s%s", step_text(telling, telling->writer[next]),
            telling->plan->values[next].in_place ? ": in place" : "");
}

Story story_of_node(const Telling *telling, NodeId id, const char *name) {
    Story told = {.name = name}, *story = &told;
    Op op = graph_node(telling->graph, id)->op;
    ValueId held = telling->plan->value_of[id];
    bool is_leaf = op == OP_PARAM || op == OP_INPUT || op == OP_STATE;
    if (is_leaf) {
        tell_leaf(telling, story, id, held);
    } else {
        tell_what(telling, story, telling->graph, id);
        tell_boxes(telling, story, id);
        tell_memory(telling, story, id, held);
        tell_bands(telling, story, id, held);
        tell_strand(telling, story, id);
    }
    tell_readers(telling, story, id);
    if (!is_leaf) tell_backward(telling, story, id);
    tell_decisions(telling, story, id, name);
    return told;
}

static NodeId find_named(const Graph *graph, const char *name) {
    for (NodeId id = 0; id < graph_nodes(graph); id++) {
        const char *other = graph_node_name(graph, id);
        if (other && text_equal(other, name)) return id;
    }
    return NODE_NONE;
}

Story story_of_lost_node(const Telling *telling, const char *name) {
    Story told = {.name = name}, *story = &told;
    const Explained *shown = telling->shown;
    size_t last = shown->stage_count;
    while (last > 0 && find_named(shown->stages[last - 1].graph, name) == NODE_NONE)
        last--;
    CHECK(last > 0);
    const Stage *stage = &shown->stages[last - 1];
    tell_what(telling, story, stage->graph, find_named(stage->graph, name));
    if (last < shown->stage_count)
        ADD("gone", "in pass %s: %s", shown->stages[last].pass, shown->stages[last].sentence);
    else
        ADD("gone", "in pass draw_boxes, which drops what computes nothing");
    ADD("stored", "nowhere");
    return told;
}
