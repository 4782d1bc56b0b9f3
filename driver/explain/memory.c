// What lies in memory between forward and backward: see explain.h.
//
// Forward are the steps that the loss depends on; all others are backward, the optimizer among them. A temporary that
// a forward step writes and a backward step reads is kept. A named value inside a forward box that is no result of it,
// and inside a backward box too, is computed again.
#include <string.h>

#include "driver/explain/explain.h"
#include "ir/layer_text.h"

// By value: whether the backward part reads it from the forward part.
static bool *find_kept(const Plan *plan, const uint32_t *writer, const StepPart *parts, Arena *arena) {
    bool *kept = ARENA_ARRAY(arena, bool, plan->value_count);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const Step *step = &plan->steps[i];
        for (uint32_t k = 0; parts[i] != PART_FORWARD && k < step->operand_count; k++) {
            uint32_t from = writer[step->operands[k]];
            kept[step->operands[k]] = kept[step->operands[k]] || (from != STEP_NONE && parts[from] == PART_FORWARD);
        }
    }
    return kept;
}

double explain_kept_bytes(const Plan *plan, Arena *arena) {
    const uint32_t *writer = plan_writers(plan, arena);
    const bool *kept = find_kept(plan, writer, explain_parts(plan, arena), arena);
    double bytes = 0;
    for (ValueId v = 0; v < plan->value_count; v++)
        bytes += kept[v] ? (double)plan->values[v].bytes : 0;
    return bytes;
}

// ---- lines: values that differ only in the layer

typedef struct {
    const char *name, *type;
    size_t bytes, count;
    LayerSet layers;
} Line;

typedef struct {
    Arena *arena;
    Line *lines;
    size_t count, capacity;
} Lines;

static void lines_add(Lines *lines, const char *name, const char *type, size_t bytes) {
    size_t at = 0;
    unsigned long layer;
    while (at < lines->count && !(layer_text_same(lines->lines[at].name, name) &&
                                  text_equal(lines->lines[at].type, type) && lines->lines[at].bytes == bytes))
        at++;
    if (at == lines->count) {
        lines->lines = arena_grow(lines->arena, lines->lines, &lines->capacity, at + 1, sizeof *lines->lines);
        lines->lines[lines->count++] = (Line){.name = name, .type = type, .bytes = bytes};
    }
    lines->lines[at].count++;
    if (layer_of_text(name, &layer)) layer_set_add(lines->arena, &lines->lines[at].layers, layer);
}

static const char *line_name(const Line *line, Arena *arena) {
    Text text = text_create(arena);
    layer_text_append(&text, line->name, &line->layers);
    return text_string(&text);
}

// ---- computed again

static bool step_computes(const Step *step, const char *name) {
    for (NodeId id = 0; id < graph_nodes(step->region); id++) {
        const char *other = graph_node_name(step->region, id);
        if (other && text_equal(other, name)) return true;
    }
    return false;
}

static bool forward_computes(const Plan *plan, const StepPart *parts, const char *name) {
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (parts[i] == PART_FORWARD && step_computes(&plan->steps[i], name)) return true;
    return false;
}

static void print_computed_again(const Plan *plan, const StepPart *parts, Text *out) {
    Lines lines = {.arena = out->arena};
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const Graph *region = plan->steps[i].region;
        for (NodeId id = 0; parts[i] != PART_FORWARD && id < graph_nodes(region); id++) {
            const char *name = graph_node_name(region, id);
            if (name && explain_computes(graph_node(region, id)) && forward_computes(plan, parts, name))
                lines_add(&lines, name, "", 0);
        }
    }
    Text text = text_create(out->arena);
    for (size_t i = 0; i < lines.count; i++)
        text_append(&text, "%s%s", i ? ", " : "", line_name(&lines.lines[i], out->arena));
    text_append(out, "computed again by the backward part\n");
    explain_wrapped(out, 2, lines.count ? text_string(&text) : "nothing", ", ");
    text_append(out, "\n");
}

void explain_memory(const Plan *plan, Text *out) {
    Arena *arena = out->arena;
    const uint32_t *writer = plan_writers(plan, arena);
    const StepPart *parts = explain_parts(plan, arena);
    const bool *kept = find_kept(plan, writer, parts, arena);
    Lines lines = {.arena = arena};
    for (ValueId v = 0; v < plan->value_count; v++) {
        const Value *value = &plan->values[v];
        if (kept[v])
            lines_add(&lines, explain_value(plan, v, &plan->steps[writer[v]], arena),
                      explain_type(plan->dims, value->dtype, &value->order, arena), value->bytes);
    }
    text_append(out, "%-48s %-22s %5s %8s %8s\n", "kept for the backward part", "type", "count", "bytes", "together");
    for (size_t i = 0; i < lines.count; i++) {
        const Line *line = &lines.lines[i];
        text_append(out, "  %-46s %-22s %5zu %8s %8s\n", explain_fit(arena, line_name(line, arena), 46),
                    explain_fit(arena, line->type, 22), line->count, explain_quantity(arena, (double)line->bytes),
                    explain_quantity(arena, (double)line->bytes * (double)line->count));
    }
    if (lines.count == 0) text_append(out, "  nothing\n");
    text_append(out, "\n");
    print_computed_again(plan, parts, out);
}
