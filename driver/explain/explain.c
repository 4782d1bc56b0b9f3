// The page of `sinter explain` from its parts, and the totals at its end: see explain.h.
#include "driver/explain/explain.h"

#include <string.h>

enum { PAGE_COLUMNS = 100 };

void stages_add(void *context, const Pass *pass, const Graph *graph, const Plan *plan, double seconds) {
    (void)seconds;
    Stages *stages = context;
    if (plan) return;
    stages->stages = arena_grow(stages->arena, stages->stages, &stages->capacity, stages->count + 1, sizeof(Stage));
    stages->stages[stages->count++] = (Stage){pass->name, pass->sentence, graph};
}

// ---- text

const char *explain_quantity(Arena *arena, double value) {
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    return arena_format(arena, "%.*f%s", digits, value, units[unit]);
}

const char *explain_fit(Arena *arena, const char *text, size_t width) {
    size_t length = strlen(text);
    if (length <= width) return text;
    size_t end = width / 2, start = width - end - 1;
    return arena_format(arena, "%.*s~%s", (int)start, text, text + length - end);
}

void explain_wrapped(Text *out, int indent, const char *text, const char *separator) {
    size_t column = 0, room = (size_t)(PAGE_COLUMNS - indent);
    while (*text) {
        const char *end = strstr(text, separator);
        size_t length = end ? (size_t)(end - text) + strlen(separator) - 1 : strlen(text);   // without the space
        const char *piece = explain_fit(out->arena, arena_copy_range(out->arena, text, length), room);
        if (column > 0 && column + 1 + strlen(piece) > room) {
            text_append(out, "\n");
            column = 0;
        }
        text_append(out, "%*s%s", column ? 1 : indent, "", piece);
        column += (column > 0) + strlen(piece);
        text += length + (text[length] == ' ');
    }
    text_append(out, "\n");
}

// ---- totals

enum { TOTALS = 7 };

static void collect_totals(const Plan *plan, Arena *arena, double totals[TOTALS]) {
    double waits = 0, flops = 0, bytes = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        waits += plan->steps[i].wait;
        flops += plan->steps[i].flops;
        bytes += plan->steps[i].bytes;
    }
    const double all[TOTALS] = {plan->step_count, (double)explain_distinct(plan, arena),    waits, flops, bytes,
                                (double)plan->arena_bytes, explain_kept_bytes(plan, arena)};
    memcpy(totals, all, sizeof all);
}

static void print_totals(const Explained *shown, const Explained *beside, Text *out) {
    static const char *const names[TOTALS] = {
        "steps",       "distinct boxes", "waits of all threads", "flops", "bytes read and written by boxes",
        "arena bytes", "bytes kept for the backward part"};
    double here[TOTALS], there[TOTALS];
    collect_totals(shown->plan, out->arena, here);
    text_append(out, "%-40s %14s", "total", shown->level);
    if (beside) {
        collect_totals(beside->plan, out->arena, there);
        text_append(out, " %14s %14s", beside->level, "ratio");
    }
    for (int i = 0; i < TOTALS; i++) {
        text_append(out, "\n%-40s %14.0f", names[i], here[i]);
        if (beside) text_append(out, " %14.0f", there[i]);
        if (beside && there[i] > 0) text_append(out, " %14.2f", here[i] / there[i]);
    }
    text_append(out, "\n");
}

void explain_print(const Explained *shown, const Explained *beside, Text *out) {
    explain_boxes(shown->plan, out);
    explain_decisions(shown, out);
    explain_memory(shown->plan, out);
    print_totals(shown, beside, out);
}
