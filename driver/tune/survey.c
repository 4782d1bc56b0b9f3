// Products one by one: on a GPU a step timed launch by launch tells how long each product takes, so programs in which
// all products are computed in one way show the fastest way of each.
//
//     way                 product at layer[0..5].t   product at grad.wte.weight
//     (untuned)                12.0 us                    40.1 us
//     engine * cublaslt        11.1                       31.0        ->   block product at layer[0..5].t 64x64
//     block * 64x64             9.8                       41.5             engine product at grad.wte.weight cublaslt
//     block * 128x64           10.9                        -
//
// In: the ways, and times. Out: lines of choices, a candidate like any other: whether the step is faster is measured.
#include "driver/tune/tune.h"

#include <math.h>
#include <string.h>

#include "ir/layer_text.h"

// So much must be saved of a product's time, beyond what timing it twice may differ.
static const double worth_choosing = 0.97;

// ---- ways

static void add_way(TuneWays *ways, const char *line) {
    ways->lines = arena_grow(ways->arena, ways->lines, &ways->capacity, ways->count + 1, sizeof *ways->lines);
    ways->lines[ways->count++] = line;
}

static void add_blocks(TuneWays *ways, const char *const *blocks, const char *behind) {
    for (int b = 0; blocks[b]; b++) add_way(ways, arena_format(ways->arena, "block * %s%s", blocks[b], behind));
}

TuneWays tune_ways(Arena *arena, const Target *target, TensorKind tensor, bool with_numeric) {
    static const char *const blocks[] = {"64x64", "128x64", "64x128", "128x128", "32x64", "64x32", "32x32", NULL};
    static const char *const of_warpgroups[] = {"128x128", "128x256", "256x128", "64x128", "64x256",
                                                "128x192", "128x64",  "64x64",  NULL};
    static const char *const in_turns[] = {"128x128", "64x256", NULL};
    TuneWays ways = {.arena = arena};
    bool has_tensor = tensor != TENSOR_NONE, has_library = with_numeric && target->library_bytes > 0;
    bool has_warpgroups = with_numeric && tensor == TENSOR_BF16 && target_has_wgmma(target);
    if (has_library) add_way(&ways, "engine * cublaslt");
    if (has_library) add_way(&ways, "engine * cublaslt plain"); // where an epilogue keeps the program from running
    if (has_warpgroups) add_blocks(&ways, of_warpgroups, " wgmma");
    if (has_warpgroups) add_blocks(&ways, in_turns, " wgmma turns");
    if (has_tensor) add_blocks(&ways, blocks, "");
    if (has_tensor) add_blocks(&ways, blocks, " stages 2");
    for (int parts = 1; parts <= 4 && has_tensor && with_numeric; parts *= 4) {
        const char *in_parts = arena_format(arena, " parts %d", parts);
        if (has_warpgroups) add_blocks(&ways, of_warpgroups, arena_format(arena, "%s wgmma", in_parts));
        add_blocks(&ways, blocks, in_parts);
    }
    if (has_library) add_way(&ways, "engine * tiles");
    return ways;
}

// Whether the step is computed so: a way that it cannot go leaves it as it was.
static bool goes(const Plan *plan, const Step *step, const Choice *way) {
    const TensorTile *tile = &step->tensor;
    uint32_t parts = plan->values[step->outputs[0]].parts;
    if (way->verb == CHOICE_ENGINE) return (step->engine == ENGINE_TILES) == text_equal(way->engine, "tiles");
    bool is_same = tile->rows == way->rows && tile->lanes == way->lanes && tile->wgmma == way->wgmma;
    return is_same && tile->in_turns == way->in_turns &&
           (!way->stages || tile->stages == way->stages) && (!way->pieces || (parts > 1 ? parts : 1) == way->pieces);
}

// ---- times

// The place that choices know all steps of its kind by, without the number among them.
static const char *place_of(Arena *arena, const Step *step) {
    return arena_copy_range(arena, step->place, strcspn(step->place, "#"));
}

static TuneProduct *find_product(TuneProducts *products, const char *label, const char *place) {
    for (size_t i = 0; i < products->count; i++)
        if (text_equal(products->list[i].label, label) && layer_text_same(products->list[i].place, place))
            return &products->list[i];
    return NULL;
}

static TuneProduct *add_product(TuneProducts *products, const char *label, const char *place) {
    products->list =
        arena_grow(products->arena, products->list, &products->capacity, products->count + 1, sizeof *products->list);
    TuneProduct *product = &products->list[products->count++];
    *product = (TuneProduct){.label = label, .place = place, .best = INFINITY};
    return product;
}

void tune_add_times(TuneProducts *products, const Plan *plan, const double *seconds, const char *way) {
    unsigned long layer;
    const Choice *choice = NULL;
    if (way) {
        Choices *choices = choices_create(products->arena);
        CHECK(choices_add(choices, "way", way, diags_create(products->arena)));
        choice = choices_at(choices, 0);
    }
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        if (step->form != FORM_PRODUCT) continue;
        const char *place = place_of(products->arena, step);
        TuneProduct *product = find_product(products, step->label, place);
        if (!product && way) continue;
        if (!product) product = add_product(products, step->label, place);
        if (layer_of_text(place, &layer)) layer_set_add(products->arena, &product->layers, layer);
        *(way ? &product->now : &product->untuned) += seconds[s];
        product->is_left |= way && !goes(plan, step, choice);
    }
}

void tune_end_way(TuneProducts *products, const char *way) {
    for (size_t i = 0; i < products->count; i++) {
        TuneProduct *product = &products->list[i];
        bool is_faster = product->now > 0 && product->now < product->best && !product->is_left;
        if (is_faster) product->best = product->now;
        if (is_faster) product->way = way;
        product->now = 0;
        product->is_left = false;
    }
}

// ---- what they say

static const char *line_of(Arena *arena, const TuneProduct *product) {
    const char *star = strchr(product->way, '*');
    Text line = text_create(arena);
    text_append(&line, "%s%s at ", arena_copy_range(arena, product->way, (size_t)(star - product->way)),
                product->label);
    layer_text_append(&line, product->place, &product->layers);
    text_append(&line, "%s", star + 1);
    return text_string(&line);
}

const char *tune_picked(const TuneProducts *products, size_t i) {
    const TuneProduct *product = &products->list[i];
    return product->way && product->best < worth_choosing * product->untuned ? line_of(products->arena, product) : NULL;
}
