// The search for faster choices: one at a time, kept only when proved.
//
//     untuned 10.3 | strand 24: 9.9 against 10.3 kept | tile * 12x32: 10.0 against 9.9 | ... | at last 9.9 against 10.3
//
// Greedy coordinate descent: each candidate is one line over the incumbent. Both run alternately, A B B A, so that a
// drift of the machine meets both; what counts is their ratio round by round, with an interval that assumes no
// distribution (bench/statistics.h). A candidate is kept when the whole interval says faster; then its own neighbours
// are tried. Where a machine can time parts of a program, what is faster by itself is the first candidate, all
// together.
//
// Among many candidates some look faster by luck. So at the end the winner and the untuned program are compared once
// more, and without a proof there the untuned one is used: tuning never loses.
#include <math.h>
#include <string.h>

#include "driver/tune/tune.h"

enum {
    ROUNDS = 11, // of one comparison; the interval is then that of 98.8 %
    FINAL_ROUNDS = 15,
    HOPELESS_ROUNDS = 4 // so many without one that is faster: the rest can be saved
};

typedef struct {
    const TuneMachine *machine;
    const TuneSettings *settings;
    TuneResult *result;
    TuneLane *untuned, *incumbent;
    const char **tried; // lines
    size_t tried_count, tried_capacity;
    double start;
    double round_seconds; // of the longest round so far
    bool knows_bits, incumbent_changes_bits;
    unsigned long long untuned_bits;
} Search;

static void say(const Search *search, const char *line) {
    search->machine->say(search->machine->context, line);
}

static double elapsed(const Search *search) {
    return search->machine->now(search->machine->context) - search->start;
}

static bool is_stopped(const Search *search) {
    if (!search->machine->interrupted(search->machine->context)) return false;
    search->result->end = TUNE_STOPPED;
    return true;
}

// ---- comparing

typedef struct {
    double before, after; // medians, seconds
    Estimate ratio;
    bool is_whole, runs; // all rounds; no visit failed
} Comparison;

static bool visit(Search *search, TuneLane *lane, double *seconds) {
    return search->machine->visit(search->machine->context, lane, seconds) && *seconds > 0;
}

static bool run_round(Search *search, TuneLane *before, TuneLane *after, int round, double *a, double *b) {
    double start = elapsed(search);
    bool ran = round % 2 == 0 ? visit(search, before, a) && visit(search, after, b)
                              : visit(search, after, b) && visit(search, before, a);
    search->round_seconds = fmax(search->round_seconds, elapsed(search) - start);
    return ran;
}

static Comparison compare(Search *search, TuneLane *before, TuneLane *after, int rounds, bool may_give_up) {
    double a[FINAL_ROUNDS], b[FINAL_ROUNDS];
    Comparison comparison = {.runs = true};
    bool was_faster = false;
    int done = 0;
    while (done < rounds && comparison.runs && !is_stopped(search)) {
        comparison.runs = run_round(search, before, after, done, &a[done], &b[done]);
        if (!comparison.runs) break;
        was_faster |= b[done] < a[done];
        done++;
        if (may_give_up && !was_faster && done == HOPELESS_ROUNDS) break;
    }
    comparison.is_whole = done == rounds && !is_stopped(search);
    comparison.before = median_of(a, (size_t)done);
    comparison.after = median_of(b, (size_t)done);
    comparison.ratio = estimate_ratio(b, a, (size_t)done);
    return comparison;
}

static bool is_faster(const Comparison *comparison) {
    return comparison->runs && comparison->is_whole && comparison->ratio.high < 1;
}

static double percent(double ratio) {
    return 100 * (ratio - 1);
}

// ---- one candidate

static bool was_tried(Search *search, const char *line) {
    for (size_t i = 0; i < search->tried_count; i++)
        if (text_equal(search->tried[i], line)) return true;
    search->tried = arena_grow(search->settings->arena, search->tried, &search->tried_capacity, search->tried_count + 1,
                               sizeof(char *));
    search->tried[search->tried_count++] = arena_copy(search->settings->arena, line);
    return false;
}

// Whether the lane computes what the untuned program does, bit for bit. Asked only about what is faster: it is another
// few steps from the beginning.
static bool keeps_bits(Search *search, TuneLane *lane) {
    unsigned long long hash;
    const TuneMachine *machine = search->machine;
    if (!search->knows_bits) { // the incumbent is still the untuned program
        if (!machine->bits(machine->context, search->untuned, &search->untuned_bits)) return false;
        search->knows_bits = true;
    }
    return machine->bits(machine->context, lane, &hash) && hash == search->untuned_bits;
}

static const char *verdict(Search *search, TuneLane *lane, const Comparison *comparison, bool *kept) {
    *kept = false;
    if (!comparison->runs) return "does not run";
    if (!is_faster(comparison)) return "not kept";
    bool keeps = keeps_bits(search, lane);
    if (!keeps && search->settings->keeps_bits) return "changes bits, not kept";
    if (is_stopped(search)) return "stopped";
    *kept = true;
    search->incumbent_changes_bits = !keeps;
    return keeps ? "kept" : "kept, changes bits";
}

static void say_comparison(Search *search, const char *line, const Comparison *c, const char *verdict) {
    Text text = text_create(search->settings->arena);
    text_append(&text, "tune: %s: ", line);
    if (c->runs)
        text_append(&text, "%.4g ms against %.4g ms (%+.1f %%, %+.1f .. %+.1f): ", 1e3 * c->after, 1e3 * c->before,
                    percent(c->ratio.median), percent(c->ratio.low), percent(c->ratio.high));
    text_append(&text, "%s", verdict);
    say(search, text_string(&text));
}

static void replace_incumbent(Search *search, TuneLane *lane) {
    const TuneMachine *machine = search->machine;
    TuneLane *before = search->incumbent;
    search->incumbent = lane;
    if (before == search->untuned)
        machine->rest(machine->context, before);
    else
        machine->release(machine->context, before);
}

// True when it is the new incumbent.
static bool try_candidate(Search *search, const TuneCandidate *candidate) {
    const TuneMachine *machine = search->machine;
    const char *why = NULL, *line = machine->written(machine->context, candidate->line);
    const char *name = candidate->name ? candidate->name : candidate->line;
    const char *choices = arena_format(search->settings->arena, "%s%s", search->incumbent->choices, line);
    TuneLane *lane = machine->compile(machine->context, choices, &why);
    if (!lane) return false;
    if (is_stopped(search)) {
        machine->release(machine->context, lane);
        return false;
    }
    bool kept;
    Comparison comparison = compare(search, search->incumbent, lane, ROUNDS, true);
    const char *words = verdict(search, lane, &comparison, &kept);
    search->result->measured++;
    if (search->result->end == TUNE_STOPPED)
        kept = false;
    else
        say_comparison(search, name, &comparison, words);
    if (kept)
        replace_incumbent(search, lane);
    else
        machine->release(machine->context, lane);
    search->result->kept += kept;
    return kept;
}

// ---- all of them

// What the comparison at the end will take. It is part of the budget, and begins only when there is something to
// compare.
static double reserve(const Search *search) {
    return search->incumbent == search->untuned ? 0 : FINAL_ROUNDS * search->round_seconds;
}

static bool has_time(const Search *search) {
    return elapsed(search) + reserve(search) < search->settings->seconds;
}

// Tries the neighbours of the incumbent up to the first that is kept. False: none was, or time is up.
static bool improve(Search *search) {
    TuneCandidate *candidates;
    size_t count = search->machine->list(search->machine->context, search->incumbent, &candidates);
    for (size_t i = 0; i < count; i++) {
        if (search->settings->keeps_bits && candidates[i].is_numeric) continue;
        if (!has_time(search)) return false;
        if (was_tried(search, candidates[i].line)) continue;
        if (try_candidate(search, &candidates[i])) return true;
        if (is_stopped(search)) return false;
    }
    search->result->is_whole = true;
    return false;
}

// Half of the time at most goes into looking at parts.
static void try_survey(Search *search) {
    const TuneMachine *machine = search->machine;
    if (!machine->survey) return;
    const char *lines =
        machine->survey(machine->context, search->untuned, search->start + search->settings->seconds / 2);
    TuneCandidate all = {.line = lines, .name = "each product's fastest way by itself"};
    if (*lines && !is_stopped(search)) try_candidate(search, &all);
}

static void decide(Search *search) {
    TuneResult *result = search->result;
    if (search->incumbent == search->untuned) return;
    Comparison last = compare(search, search->untuned, search->incumbent, FINAL_ROUNDS, false);
    if (is_stopped(search)) return;
    say_comparison(search, "all kept ones, against the model's own choice", &last,
                   is_faster(&last) ? "used" : "not proved to be faster, so the model's own choice is used");
    if (!is_faster(&last)) return;
    result->untuned = last.before;
    result->tuned = last.after;
    result->ratio = last.ratio;
    result->choices = arena_copy(search->settings->arena, search->incumbent->choices);
    result->changes_bits = search->incumbent_changes_bits;
}

static void run_search(Search *search) {
    const TuneMachine *machine = search->machine;
    const char *why = NULL;
    search->untuned = search->incumbent = machine->compile(machine->context, "", &why);
    if (!search->untuned || !visit(search, search->untuned, &search->result->untuned)) {
        search->result->end = is_stopped(search) ? TUNE_STOPPED : TUNE_BROKEN;
        if (search->untuned) machine->release(machine->context, search->untuned);
        return;
    }
    search->result->tuned = search->result->untuned;
    if (!is_stopped(search)) try_survey(search);
    while (!is_stopped(search) && improve(search))
        continue;
    if (!is_stopped(search)) decide(search);
    if (search->incumbent != search->untuned) machine->release(machine->context, search->incumbent);
    machine->release(machine->context, search->untuned);
}

TuneResult tune_search(const TuneMachine *machine, const TuneSettings *settings) {
    TuneResult result = {.end = TUNE_DONE, .choices = ""};
    Search search = {.machine = machine, .settings = settings, .result = &result};
    search.start = machine->now(machine->context);
    run_search(&search);
    result.seconds = elapsed(&search);
    return result;
}
