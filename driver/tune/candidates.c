// What could be faster than what was decided: the neighbours of a compile's own choices.
//
// In: the step's plan and ledger. Out: lines of choices, the more promising ones first.
//
//     strand 12 groups 2                    ->  strand off, strand 6 groups 2, strand 24 groups 2, strand 12 groups 4
//     tile product at layer[0..3].u 13x32   ->  .. 12x32, .. 14x32, .. 13x16, and the same for all products together
//     chunk adamw at wte.weight 4 over C    ->  .. 2 over C, .. 8 over C
//     block layer[*].t 64x64 stages 3 parts 1 -> .. stages 2, .. stages 4, .. parts 2
//     keep X, make X at P                   ->  redo X, forbid X at P, and the other way round
//     made find_bands: band of softmax      ->  forbid "band of softmax"
//
// Most of this neighbourhood is what choices_write would state of the plan, so its text is where it comes from. What
// turns out to be impossible, or to make the same program, costs the search a plan and no measuring.
#include <stdlib.h>
#include <string.h>

#include "driver/tune/tune.h"

// In the order in which they are tried: those that can change most come first.
enum { TIER_WHOLE, TIER_KIND, TIER_REFUSED, TIER_STEP, TIER_VALUE };

typedef struct {
    Arena *arena;
    const Plan *plan;
    bool with_numeric;
    const char *library;
    TuneCandidate *list;
    size_t count, capacity;
} Gathering;

static void add(Gathering *gathering, int tier, double weight, bool is_numeric, const char *line) {
    if (is_numeric && !gathering->with_numeric) return;
    for (size_t i = 0; i < gathering->count; i++)
        if (text_equal(gathering->list[i].line, line)) return;
    gathering->list = arena_grow(gathering->arena, gathering->list, &gathering->capacity, gathering->count + 1,
                                 sizeof *gathering->list);
    gathering->list[gathering->count++] =
        (TuneCandidate){.line = line, .is_numeric = is_numeric, .tier = tier, .weight = weight};
}

// ---- weight

// Memory costs about this many flops a byte.
static const double flops_per_byte = 10;

// What the steps that a choice is about compute and move.
static double weight_of(const Gathering *gathering, const Choice *choice) {
    double weight = 0;
    for (uint32_t s = 0; s < gathering->plan->step_count; s++) {
        const Step *step = &gathering->plan->steps[s];
        bool is_met = (!choice->label || choice_matches(choice->label, step->label)) &&
                      (!choice->place || choice_matches(choice->place, step->place));
        if (is_met) weight += step->flops + flops_per_byte * step->bytes;
    }
    return weight;
}

// ---- lines

static bool is_numeric_kind(const char *what) {
    static const char *const parts[] = {"openblas", "cublaslt", "tensor cores"};
    bool found = text_equal(what, "strand");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) found |= strstr(what, parts[i]) != NULL;
    return found;
}

// The same line with another verb.
static const char *with_verb(const Gathering *gathering, const Choice *choice, const char *verb) {
    return arena_format(gathering->arena, "%s%s", verb, choice->text + strcspn(choice->text, " "));
}

static const char *step_of(const Gathering *gathering, const Choice *choice) {
    return choice->label ? arena_format(gathering->arena, "%s at %s", choice->label, choice->place) : choice->place;
}

// One row less or more, and the other number of lanes; where the registers do not hold them, the search is told.
static void add_tiles(Gathering *gathering, const char *step, int tier, double weight, uint32_t rows, uint32_t lanes) {
    uint32_t others = lanes == 32 ? 16 : 32, fewer = rows / 3;
    const uint32_t shapes[][2] = {{rows - 1, lanes}, {rows + 1, lanes}, {rows, others}, {fewer, others}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (shapes[i][0] == 0 || (i == 3 && others == 16)) continue;
        add(gathering, tier, weight, false,
            arena_format(gathering->arena, "tile %s %ux%u", step, shapes[i][0], shapes[i][1]));
    }
}

static void add_of_tile(Gathering *gathering, const Choice *choice) {
    const char *step = step_of(gathering, choice);
    double weight = weight_of(gathering, choice);
    add_tiles(gathering, "*", TIER_WHOLE, 0, choice->rows, choice->lanes);
    add_tiles(gathering, step, TIER_STEP, weight, choice->rows, choice->lanes);
    add(gathering, TIER_STEP, weight, true,
        arena_format(gathering->arena, "engine %s %s", step, gathering->library));
}

// A stage more or less, and twice or half as many parts of the sum.
static void add_of_block(Gathering *gathering, const Choice *choice) {
    const char *step = step_of(gathering, choice);
    const char *behind = choice->in_turns ? " wgmma turns" : choice->wgmma ? " wgmma" : "";
    double weight = weight_of(gathering, choice);
    uint32_t parts = choice->pieces;
    const uint32_t shapes[][2] = {{choice->stages - 1, parts}, {choice->stages + 1, parts},
                                  {choice->stages, parts * 2}, {choice->stages, parts / 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i][1])
            add(gathering, TIER_STEP, weight, shapes[i][1] != parts,
                arena_format(gathering->arena, "block %s %ux%u stages %u parts %u%s", step, choice->rows,
                             choice->lanes, shapes[i][0], shapes[i][1], behind));
}

static void add_of_chunk(Gathering *gathering, const Choice *choice) {
    const char *step = step_of(gathering, choice);
    const char *over = choice->over ? arena_format(gathering->arena, " over %s", choice->over) : "";
    double weight = weight_of(gathering, choice);
    if (choice->pieces % 2 == 0)
        add(gathering, TIER_STEP, weight, false,
            arena_format(gathering->arena, "chunk %s %u%s", step, choice->pieces / 2, choice->pieces > 2 ? over : ""));
    add(gathering, TIER_STEP, weight, false,
        arena_format(gathering->arena, "chunk %s %u%s", step, choice->pieces * 2, over));
}

static void add_of_strand(Gathering *gathering, const Choice *choice) {
    uint32_t pieces = choice->pieces, groups = choice->groups;
    const uint32_t shapes[][2] = {
        {pieces / 2, groups}, {pieces * 2, groups}, {pieces, groups * 2}, {pieces, groups / 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i][0] && shapes[i][1])
            add(gathering, TIER_WHOLE, 1, true,
                arena_format(gathering->arena, "strand %u groups %u", shapes[i][0], shapes[i][1]));
    add(gathering, TIER_WHOLE, 1, true, "strand off");
}

static void add_of_decision(Gathering *gathering, const Choice *choice, const char *verb) {
    bool is_numeric = choice->word_count > 0 && is_numeric_kind(choice->words[0]);
    add(gathering, TIER_REFUSED, weight_of(gathering, choice), is_numeric, with_verb(gathering, choice, verb));
}

static bool is_strand_off(const Choice *choice) {
    return strncmp(choice->text, "strand", 6) == 0;
}

static void add_neighbours(Gathering *gathering, const Choice *choice) {
    switch (choice->verb) {
    case CHOICE_STRAND: add_of_strand(gathering, choice); break;
    case CHOICE_TILE: add_of_tile(gathering, choice); break;
    case CHOICE_BLOCK: add_of_block(gathering, choice); break;
    case CHOICE_CHUNK: add_of_chunk(gathering, choice); break;
    case CHOICE_MAKE: add_of_decision(gathering, choice, "forbid"); break;
    case CHOICE_FORBID:
        if (is_strand_off(choice))
            add(gathering, TIER_WHOLE, 1, true, "make strand");
        else
            add_of_decision(gathering, choice, "make");
        break;
    case CHOICE_KEEP: add(gathering, TIER_VALUE, 0, false, with_verb(gathering, choice, "redo")); break;
    case CHOICE_REDO: add(gathering, TIER_VALUE, 0, false, with_verb(gathering, choice, "keep")); break;
    default: break;
    }
}

// ---- kinds

static void add_kinds(Gathering *gathering, const Ledger *ledger) {
    MadeKind *kinds;
    size_t count = choices_list_made(gathering->arena, ledger, &kinds);
    for (size_t i = 0; i < count; i++)
        if (!text_equal(kinds[i].what, "strand")) // among those of strands
            add(gathering, TIER_KIND, 0, is_numeric_kind(kinds[i].what), kinds[i].forbid);
}

// Refused decisions that choices can make: merges that were refused cannot be.
static void add_refused(Gathering *gathering, const Ledger *ledger) {
    for (size_t i = 0; i < ledger_count(ledger); i++) {
        const Decision *decision = ledger_at(ledger, i);
        bool is_mere_value = text_equal(decision->what, "store value");
        bool cannot_be = strncmp(decision->what, "merge ", 6) == 0 || strncmp(decision->what, "fuse ", 5) == 0;
        bool is_number = strncmp(decision->what, "tile ", 5) == 0 || strncmp(decision->what, "chunk ", 6) == 0;
        if (decision->made || is_mere_value || cannot_be || is_number || text_equal(decision->what, "strand")) continue;
        add(gathering, TIER_KIND, 0, is_numeric_kind(decision->what),
            arena_format(gathering->arena, "make \"%s\"", decision->what));
    }
}

// ---- the door

static int compare_candidates(const void *left, const void *right) {
    const TuneCandidate *a = left, *b = right;
    if (a->tier != b->tier) return a->tier - b->tier;
    if (a->weight != b->weight) return a->weight < b->weight ? 1 : -1;
    return strcmp(a->line, b->line);
}

size_t tune_candidates(Arena *arena, const Plan *plan, const Ledger *ledger, const Target *target, bool with_numeric,
                       TuneCandidate **candidates) {
    Gathering gathering = {.arena = arena,
                           .plan = plan,
                           .with_numeric = with_numeric,
                           .library = target_is_gpu(target) ? "cublaslt" : "openblas"};
    Text text = text_create(arena);
    choices_write(plan, ledger, "step", &text);
    Choices *written = choices_create(arena);
    CHECK(choices_add(written, "choices of the plan", text_string(&text), diags_create(arena)));
    for (size_t i = 0; i < choices_count(written); i++)
        add_neighbours(&gathering, choices_at(written, i));
    add_kinds(&gathering, ledger);
    add_refused(&gathering, ledger);
    qsort(gathering.list, gathering.count, sizeof *gathering.list, compare_candidates);
    *candidates = gathering.list;
    return gathering.count;
}
