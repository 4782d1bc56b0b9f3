// The table of boxes: see explain.h.
//
//     step 0 row "layernorm" at "layer[0].a" cut(B)/4 ..        form label      place          count flops bytes cut
//     step 9 row "layernorm" at "layer[1].a" cut(B)/4 ..   ->   row  layernorm  layer[0..1].a      2  789k  469k B/4
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "driver/explain/explain.h"
#include "ir/layer_text.h"

// ---- places

// The nearest named node, or output, that depends on `node`. Ids ascend along the data, so one walk is enough.
static const char *flows_into(const Graph *graph, NodeId node, Arena *arena) {
    bool *reached = ARENA_ARRAY(arena, bool, graph_nodes(graph));
    reached[node] = true;
    for (NodeId id = node; id < graph_nodes(graph); id++) {
        const Node *reader = graph_node(graph, id);
        for (uint32_t k = 0; k < reader->operand_count; k++) reached[id] = reached[id] || reached[reader->operands[k]];
        if (reached[id] && graph_node_name(graph, id)) return graph_node_name(graph, id);
        for (uint32_t i = 0; reached[id] && i < graph_outputs(graph); i++)
            if (graph_output_at(graph, i)->node == id) return graph_output_at(graph, i)->name;
    }
    return NULL;
}

const char *explain_place(const Plan *plan, const char *place, Arena *arena) {
    char *end;
    if (*place != '%') return place;
    unsigned long node = strtoul(place + 1, &end, 10);
    if (*end || end == place + 1 || node >= graph_nodes(plan->dims)) return place;
    const char *name = flows_into(plan->dims, (NodeId)node, arena);
    return name ? arena_format(arena, "to %s", name) : place;
}

// ---- lines

static const char *cut_text(const Plan *plan, const Cut *cut, Arena *arena) {
    Text text = text_create(arena);
    for (int i = 0; i < cut->dims.rank; i++)
        text_append(&text, "%s%s", i ? "," : "", graph_dim_name(plan->dims, cut->dims.dims[i]));
    text_append(&text, "/%u", cut->pieces);
    return cut->pieces == 1 ? "-" : text_string(&text);
}

// Of a chain inside of a strand: of which pieces its own are ranges.
static const char *nested_text(const Plan *plan, const StepNest *nest, const Step *step, Arena *arena) {
    const Cut *strand = &plan->steps[nest[step - plan->steps].strand].cut;
    const char *own = explain_fit(arena, cut_text(plan, &step->cut, arena), 12);
    return cut_refines(&step->cut, strand) ? arena_format(arena, "%s in %s", own, cut_text(plan, strand, arena)) : own;
}

typedef struct {
    const Step *step;   // the first one
    const char *place;
    LayerSet layers;
    size_t count;
} Line;

static bool line_takes(const Line *line, const Step *step, const char *place) {
    const Step *first = line->step;
    return first->form == step->form && first->engine == step->engine && text_equal(first->label, step->label) &&
           layer_text_same(line->place, place) && first->flops == step->flops && first->bytes == step->bytes &&
           first->cut.pieces == step->cut.pieces && dim_list_equal(&first->cut.dims, &step->cut.dims);
}

static void line_print(const Plan *plan, const StepNest *nest, const Line *line, Text *out) {
    const Step *step = line->step;
    Arena *arena = out->arena;
    Text place = text_create(arena);
    layer_text_append(&place, line->place, &line->layers);
    const char *library = plan->workspace_bytes > 0 ? ", cublaslt" : " by blas";
    const char *label = step->engine == ENGINE_BLAS ? arena_format(arena, "%s%s", step->label, library) : step->label;
    text_append(out, "%-7s %-22s %-35s %5zu %6s %6s  %s\n", form_name(step->form), explain_fit(arena, label, 22),
                explain_fit(arena, text_string(&place), 35), line->count, explain_quantity(arena, step->flops),
                explain_quantity(arena, step->bytes), nested_text(plan, nest, step, arena));
}

void explain_boxes(const Plan *plan, Text *out) {
    Arena *arena = out->arena;
    Line *lines = ARENA_ARRAY(arena, Line, plan->step_count);
    size_t count = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const Step *step = &plan->steps[i];
        const char *place = explain_place(plan, step->place, arena);
        unsigned long layer;
        size_t at = 0;
        while (at < count && !line_takes(&lines[at], step, place)) at++;
        if (at == count) lines[count++] = (Line){.step = step, .place = place};
        lines[at].count++;
        if (layer_of_text(place, &layer)) layer_set_add(arena, &lines[at].layers, layer);
    }
    text_append(out, "%-7s %-22s %-35s %5s %6s %6s  %s\n", "box", "of", "place", "count", "flops", "bytes", "cut");
    const StepNest *nest = plan_nest(plan, arena);
    for (size_t i = 0; i < count; i++) line_print(plan, nest, &lines[i], out);
    text_append(out, "\n");
}

// ---- distinct boxes

// The region's text without names and groups.
static void append_region(Text *out, const Graph *region) {
    Text text = text_create(out->arena);
    graph_print(region, &text);
    for (const char *line = text_string(&text); *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        if (strncmp(line, "output ", 7) == 0) {
            const char *node = line + length;
            while (node > line && node[-1] != '"') node--;
            text_append(out, "output%.*s\n", (int)(line + length - node), node);
        } else if (*line == '%') {
            const char *note = strstr(line, " ; ");
            if (note && note < line + length) length = (size_t)(note - line);
            text_append(out, "%.*s\n", (int)length, line);
        }
    }
}

static void append_value(Text *out, const Plan *plan, ValueId id) {
    const Value *value = &plan->values[id];
    const Layout *layout = &value->layout;
    text_append(out, "%s", dtype_name(value->dtype));
    for (int p = 0; p < layout->count; p++) {
        const LayoutPiece *piece = &layout->pieces[p];
        for (int i = 0; i < piece->dims.rank; i++) text_append(out, " %u", (unsigned)piece->dims.dims[i]);
        text_append(out, "/%lld%%%lld", (long long)piece->divisor, (long long)piece->extent);
    }
    text_append(out, "\n");
}

static unsigned long long structure_hash(const Plan *plan, const Step *step) {
    Arena *scratch = arena_create();
    Text text = text_create(scratch);
    text_append(&text, "%d %d %llx %u %u", step->form, step->engine, (unsigned long long)step->inner, step->tile_rows,
                step->tile_lanes);
    text_append(&text, " %lld %u\n", (long long)step->cut.total, step->cut.pieces);
    for (uint32_t k = 0; k < step->operand_count; k++) append_value(&text, plan, step->operands[k]);
    for (uint32_t k = 0; k < step->output_count; k++) append_value(&text, plan, step->outputs[k]);
    append_region(&text, step->region);
    unsigned long long hash = hash_bytes(text_string(&text), text.length);
    arena_free(scratch);
    return hash;
}

static int hash_compare(const void *a, const void *b) {
    unsigned long long x = *(const unsigned long long *)a, y = *(const unsigned long long *)b;
    return x < y ? -1 : x > y;
}

size_t explain_distinct(const Plan *plan, Arena *arena) {
    unsigned long long *hashes = ARENA_ARRAY(arena, unsigned long long, plan->step_count);
    for (uint32_t i = 0; i < plan->step_count; i++) hashes[i] = structure_hash(plan, &plan->steps[i]);
    qsort(hashes, plan->step_count, sizeof *hashes, hash_compare);
    size_t distinct = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) distinct += i == 0 || hashes[i] != hashes[i - 1];
    return distinct;
}
