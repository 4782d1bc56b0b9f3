// What a plan says of itself, in numbers for a bench: traffic, memory step by step, sorts of boxes.
#include <string.h>

#include "driver/bench/bench.h"
#include "driver/explain/explain.h"
#include "ir/layer_text.h"

// ---- bytes alive in the arena while each step runs
//
// A value lives from the step that writes it to the last one that reads it, an input from the start, an output to the
// end.

typedef struct {
    uint32_t first, last;
} Life;

static Life *find_lives(Arena *arena, const Plan *plan) {
    Life *lives = ARENA_ARRAY(arena, Life, plan->value_count);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        for (uint32_t k = 0; k < step->operand_count; k++)
            lives[step->operands[k]].last = s;
        for (uint32_t k = 0; k < step->output_count; k++)
            lives[step->outputs[k]] = (Life){s, s};
    }
    for (ValueId v = 0; v < plan->value_count; v++)
        if (plan->values[v].kind == VALUE_INPUT || plan->values[v].kind == VALUE_OUTPUT)
            lives[v].last = plan->step_count - 1;
    return lives;
}

static void find_alive(Arena *arena, const Plan *plan, Variant *variant) {
    const Life *lives = find_lives(arena, plan);
    variant->alive_count = plan->step_count;
    variant->alive = ARENA_ARRAY(arena, double, plan->step_count);
    for (ValueId v = 0; v < plan->value_count; v++) {
        if (plan->values[v].space != SPACE_ARENA) continue;
        for (uint32_t s = lives[v].first; s <= lives[v].last; s++)
            variant->alive[s] += (double)plan->values[v].bytes;
    }
}

void bench_plan_figures(Arena *arena, const Plan *plan, Variant *variant) {
    variant->steps = plan->step_count;
    find_alive(arena, plan, variant);
}

double bench_model_bytes(const Plan *plan) {
    double bytes = 0;
    for (uint32_t s = 0; s < plan->step_count; s++)
        bytes += plan->steps[s].bytes;
    return bytes;
}

// ---- sorts of boxes

typedef struct {
    const Step *first;
    const char *place;
    LayerSet layers;
} Sort;

static bool sort_takes(const Sort *sort, const Step *step, const char *place) {
    const Step *first = sort->first;
    return first->form == step->form && first->engine == step->engine && text_equal(first->label, step->label) &&
           layer_text_same(sort->place, place) && first->flops == step->flops && first->bytes == step->bytes;
}

void bench_box_figures(Arena *arena, const Plan *plan, const double *seconds, Variant *variant) {
    Sort *sorts = ARENA_ARRAY(arena, Sort, plan->step_count);
    variant->boxes = ARENA_ARRAY(arena, BoxFigure, plan->step_count);
    variant->box_count = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        const char *place = explain_place(plan, step->place, arena);
        size_t at = 0;
        while (at < variant->box_count && !sort_takes(&sorts[at], step, place))
            at++;
        BoxFigure *box = &variant->boxes[at];
        if (at == variant->box_count) {
            variant->box_count++;
            sorts[at] = (Sort){.first = step, .place = place};
            *box = (BoxFigure){.form = form_name(step->form), .label = step->label};
        }
        unsigned long layer;
        if (layer_of_text(place, &layer)) layer_set_add(arena, &sorts[at].layers, layer);
        box->count++;
        box->flops += step->flops;
        box->bytes += step->bytes;
        box->seconds += seconds[s];
    }
    for (size_t i = 0; i < variant->box_count; i++) {
        Text place = text_create(arena);
        layer_text_append(&place, sorts[i].place, &sorts[i].layers);
        variant->boxes[i].place = text_string(&place);
    }
}
