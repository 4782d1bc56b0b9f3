// What was decided, as choices again.  In: ledger and plan of a compile. Out: kinds of decisions; lines of choices.
//
//     made     draw_boxes: store value at layer[0].x ..     ->   keep layer[0..5].x
//     refused  pack_operands: pack lanes operand at ..      ->   forbid "pack lanes operand" at layer[0..5].y
//     step product at "layer[0].u" cut(B,T)/4 tile 13 by 32 ->   tile layer[0..5].u 13x32
//                                                                chunk product at layer[0..5].u 4 over B,T
//     step product .. tensor bf16 128 by 256 stages 4 wgmma ->   block layer[0..5].u 128x256 stages 4 parts 1 wgmma
//     made     choose_library: product by cublaslt at ..    ->   engine layer[0..5].u cublaslt
//
// Lines that differ in the layer only are one line.
#include <string.h>

#include "ir/layer_text.h"
#include "passes/choices_private.h"

// Decisions that are written one by one, whoever took them; `*`: all that begin so.
static const char *const written[] = {"keep what is made of a product's result", "pack lanes operand",
                                      "sum in a product's epilogue", "strand", "product by tensor cores",
                                      "product by warpgroups", "store in *", "keep copy in *", "copy rounded to *",
                                      "persistent kernel", "sweep"};
enum { WRITTEN = sizeof written / sizeof *written };

static bool starts_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_written(const char *what) {
    for (int i = 0; i < WRITTEN; i++)
        if (choice_matches(written[i], what)) return true;
    return false;
}

static bool is_written_anyway(const Choice *choice) {
    switch (choice->verb) {
    case CHOICE_KEEP:
    case CHOICE_REDO:
    case CHOICE_TILE:
    case CHOICE_BLOCK:
    case CHOICE_CHUNK:
    case CHOICE_STRAND:
    case CHOICE_ENGINE: return true;
    default: return choice->word_count == 1 && choice->words[0][0] == '"' && is_written(choice->words[0] + 1);
    }
}

void choices_print(const Choices *choices, Text *out) {
    const char *program = NULL;
    for (size_t i = 0; i < choices_count(choices); i++) {
        const Choice *choice = choices_at(choices, i);
        if (is_written_anyway(choice)) continue;
        if (choice->section && (!program || !text_equal(program, choice->section)))
            text_append(out, "in %s\n", choice->section);
        program = choice->section;
        text_append(out, "%s\n", choice->text);
    }
}

// ---- kinds

// Boxes of an operator can be taken apart; others are what merges made of them. What must be, and what a choice asked
// for, is no kind.
static bool is_kind(const Decision *decision) {
    static const char *const others[] = {"must ", "fuse ", "tile ", "chunk "};
    Op op;
    if (!decision->made) return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (starts_with(decision->what, others[i])) return false;
    if (!starts_with(decision->what, "box ")) return true;
    const char *label = strchr(decision->what + 4, ' ') + 1;
    return !op_from_name(label, &op) && !text_equal(label, "product");
}

static MadeKind *find_kind(MadeKind *kinds, size_t count, const Decision *decision) {
    for (size_t i = 0; i < count; i++)
        if (text_equal(kinds[i].pass, decision->pass) && text_equal(kinds[i].what, decision->what)) return &kinds[i];
    return NULL;
}

size_t choices_list_made(Arena *arena, const Ledger *ledger, MadeKind **kinds) {
    size_t count = 0;
    *kinds = ARENA_ARRAY(arena, MadeKind, ledger_count(ledger) + 1);
    for (size_t i = 0; i < ledger_count(ledger); i++) {
        const Decision *decision = ledger_at(ledger, i);
        if (!is_kind(decision)) continue;
        MadeKind *kind = find_kind(*kinds, count, decision);
        if (!kind) {
            kind = &(*kinds)[count++];
            *kind = (MadeKind){.pass = decision->pass,
                               .what = decision->what,
                               .forbid = arena_format(arena, "forbid \"%s\"", decision->what)};
        }
        kind->places++;
        kind->bytes_saved += decision->bytes_saved;
        kind->flops_saved += decision->flops_saved;
    }
    return count;
}

// ---- lines

typedef struct {
    const char *text;
    LayerSet layers;
} WrittenLine;

typedef struct {
    Arena *arena;
    WrittenLine *lines;
    size_t count, capacity;
} Writing;

static void add_line(Writing *writing, const char *text) {
    size_t at = 0;
    unsigned long layer;
    while (at < writing->count && !layer_text_same(writing->lines[at].text, text)) at++;
    if (at == writing->count) {
        writing->lines =
            arena_grow(writing->arena, writing->lines, &writing->capacity, at + 1, sizeof(WrittenLine));
        writing->lines[writing->count++] = (WrittenLine){.text = text};
    }
    if (layer_of_text(text, &layer)) layer_set_add(writing->arena, &writing->lines[at].layers, layer);
}

// Whether blocks of tensor cores compute it that a `block` can say: those of chains and sweeps are not.
static bool has_block(const Step *step) {
    bool is_of_chain = step->cut.groups > 0 && step->cut.dims.rank > 1;
    return step->tensor.rows > 0 && !is_of_chain && step->form != FORM_SWEEP;
}

static bool is_said_by_step(const Plan *plan, const Decision *decision) {
    bool is_of_blocks = text_equal(decision->pass, "choose_tensor") || text_equal(decision->pass, "choose_warpgroups");
    for (uint32_t s = 0; s < plan->step_count && is_of_blocks; s++) {
        const Step *step = &plan->steps[s];
        if (has_block(step) && text_equal(step->place, decision->place)) return true;
    }
    return text_equal(decision->what, "strand");
}

static void write_decision(Writing *writing, const Plan *plan, const Decision *decision) {
    static const char by_library[] = "product by ", persistent[] = "persistent kernel";
    if (decision->made && text_equal(decision->what, persistent))
        add_line(writing, arena_format(writing->arena, "make \"%s\"", persistent));
    if (!*decision->place) return;
    if (text_equal(decision->what, "store value"))
        add_line(writing, arena_format(writing->arena, "%s %s", decision->made ? "keep" : "redo", decision->place));
    else if (is_written(decision->what) && !is_said_by_step(plan, decision))
        add_line(writing, arena_format(writing->arena, "%s \"%s\" at %s", decision->made ? "make" : "forbid",
                                       decision->what, decision->place));
    else if (!is_written(decision->what) && starts_with(decision->what, by_library))
        add_line(writing, arena_format(writing->arena, "engine %s %s", decision->place,
                                       decision->made ? decision->what + strlen(by_library) : "tiles"));
}

// The place of a step, so that no other step of its label has it.
static const char *only_place(const Writing *writing, const Plan *plan, const Step *step) {
    for (uint32_t s = 0; s < plan->step_count && !strchr(step->place, '#'); s++) {
        const Step *other = &plan->steps[s];
        size_t length = strlen(step->place);
        bool is_numbered = strncmp(other->place, step->place, length) == 0 && other->place[length] == '#';
        if (is_numbered && text_equal(other->label, step->label))
            return arena_format(writing->arena, "%s#1", step->place);
    }
    return step->place;
}

static void write_chunk(Writing *writing, const Plan *plan, const Step *step) {
    Text line = text_create(writing->arena);
    text_append(&line, "chunk %s at %s %u", step->label, only_place(writing, plan, step), step->cut.pieces);
    for (int i = 0; i < step->cut.dims.rank; i++)
        text_append(&line, "%s%s", i ? "," : " over ", graph_dim_name(plan->dims, step->cut.dims.dims[i]));
    add_line(writing, text_string(&line));
}

static void write_block(Writing *writing, const Plan *plan, const Step *step) {
    const TensorTile *tile = &step->tensor;
    uint32_t parts = plan->values[step->outputs[0]].parts;
    add_line(writing, arena_format(writing->arena, "block %s at %s %ux%u stages %u parts %u%s", step->label,
                                   only_place(writing, plan, step), tile->rows, tile->lanes, tile->stages,
                                   parts > 1 ? parts : 1, tensor_words(tile)));
}

// Joined steps are cut like the one before; those of a strand by the strand. A sweep takes the place of steps that have
// no line, and nothing about it is chosen.
static void write_step(Writing *writing, const Plan *plan, const Step *step) {
    if (step->form == FORM_SWEEP) return;
    if (step->tile_rows)
        add_line(writing, arena_format(writing->arena, "tile %s at %s %ux%u", step->label,
                                       only_place(writing, plan, step), step->tile_rows, step->tile_lanes));
    if (has_block(step)) write_block(writing, plan, step);
    if (!step->joined && step->cut.groups == 0 && step->cut.rounds == 0) write_chunk(writing, plan, step);
}

static void write_strand(Writing *writing, const Plan *plan, const Ledger *ledger) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Cut *cut = &plan->steps[s].cut;
        bool is_of_chain = cut->dims.rank > 1, is_alone = plan_strand_end(plan, s) == s + 1;
        if (cut->groups == 0 || is_of_chain || is_alone) continue;   // alone: a sum in parts
        add_line(writing, arena_format(writing->arena, "strand %u groups %u", cut->pieces, cut->groups));
        return;
    }
    for (size_t i = 0; i < ledger_count(ledger); i++)
        if (text_equal(ledger_at(ledger, i)->what, "strand")) {
            add_line(writing, "strand off");
            return;
        }
}

void choices_write(const Plan *plan, const Ledger *ledger, const char *program, Text *out) {
    Writing writing = {.arena = out->arena};
    for (size_t i = 0; i < ledger_count(ledger); i++) write_decision(&writing, plan, ledger_at(ledger, i));
    for (uint32_t s = 0; s < plan->step_count; s++) write_step(&writing, plan, &plan->steps[s]);
    write_strand(&writing, plan, ledger);
    text_append(out, "in %s\n", program);
    for (size_t i = 0; i < writing.count; i++) {
        layer_text_append(out, writing.lines[i].text, &writing.lines[i].layers);
        text_append(out, "\n");
    }
}
