// Tuning without a clock: a machine whose programs take as long as their choices say.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "driver/tune/tune.h"
#include "tests/driver/explained.h"

// ---- a machine

// What a line of choices does to the time of a step. `lucky`: only for so many visits, then it is no faster at all.
typedef struct {
    const char *line;
    double factor;
    bool is_numeric, changes_bits, cannot_be, fails;
    int lucky;
} Effect;

typedef struct {
    const Effect *effects;
    size_t count;
    double clock, compile_seconds, noise;
    int visits, stop_at_visit; // stop_at_visit 0: never
    int compiles, lanes, awake_most;
    bool untuned_fails;
    const char *surveyed;      // lines of parts that are faster by themselves; NULL: it has no survey
    double survey_seconds, survey_deadline;
    uint64_t random;
    Text said;
} Fake;

typedef struct {
    TuneLane lane;
    int visits;
    bool awake;
} FakeLane;

static Arena *arena;
static int awake;

static double fake_now(void *context) {
    return ((Fake *)context)->clock;
}

static bool fake_interrupted(void *context) {
    const Fake *fake = context;
    return fake->stop_at_visit > 0 && fake->visits >= fake->stop_at_visit;
}

static bool has(const char *choices, const Effect *effect) {
    return strstr(choices, effect->line) != NULL;
}

static TuneLane *fake_compile(void *context, const char *choices, const char **why) {
    Fake *fake = context;
    fake->clock += fake->compile_seconds;
    fake->compiles++;
    for (size_t i = 0; i < fake->count; i++)
        if (fake->effects[i].cannot_be && has(choices, &fake->effects[i])) {
            *why = "it cannot be";
            return NULL;
        }
    FakeLane *lane = calloc(1, sizeof *lane);
    lane->lane.choices = arena_copy(arena, choices);
    fake->lanes++;
    return &lane->lane;
}

static void fake_rest(void *context, TuneLane *lane) {
    (void)context;
    FakeLane *resting = (FakeLane *)lane;
    awake -= resting->awake;
    resting->awake = false;
}

static void fake_release(void *context, TuneLane *lane) {
    fake_rest(context, lane);
    ((Fake *)context)->lanes--;
    free(lane);
}

static void wake(Fake *fake, FakeLane *lane) {
    awake += !lane->awake;
    lane->awake = true;
    if (awake > fake->awake_most) fake->awake_most = awake;
}

static const char *fake_survey(void *context, TuneLane *untuned, double deadline) {
    Fake *fake = context;
    wake(fake, (FakeLane *)untuned);
    fake->survey_deadline = deadline;
    fake->clock += fake->survey_seconds;
    return fake->surveyed;
}

static size_t fake_list(void *context, const TuneLane *lane, TuneCandidate **candidates) {
    const Fake *fake = context;
    (void)lane;
    *candidates = ARENA_ARRAY(arena, TuneCandidate, fake->count + 1);
    for (size_t i = 0; i < fake->count; i++)
        (*candidates)[i] = (TuneCandidate){.line = fake->effects[i].line, .is_numeric = fake->effects[i].is_numeric};
    return fake->count;
}

static const char *fake_written(void *context, const char *line) {
    (void)context;
    return arena_format(arena, "%s\n", line);
}

static double draw(Fake *fake) {
    fake->random = fake->random * 6364136223846793005u + 1442695040888963407u;
    return (double)(fake->random >> 40) / (double)(1 << 24);
}

static bool fake_visit(void *context, TuneLane *visited, double *seconds) {
    Fake *fake = context;
    FakeLane *lane = (FakeLane *)visited;
    wake(fake, lane);
    fake->visits++;
    lane->visits++;
    *seconds = 0.01 * (1 + fake->noise * draw(fake));
    if (!*lane->lane.choices && fake->untuned_fails) return false;
    for (size_t i = 0; i < fake->count; i++) {
        const Effect *effect = &fake->effects[i];
        if (!has(lane->lane.choices, effect)) continue;
        if (effect->fails) return false;
        if (!effect->lucky || lane->visits <= effect->lucky) *seconds *= effect->factor;
    }
    fake->clock += *seconds;
    return true;
}

static bool fake_bits(void *context, TuneLane *lane, unsigned long long *hash) {
    const Fake *fake = context;
    wake(context, (FakeLane *)lane);
    *hash = 7;
    for (size_t i = 0; i < fake->count; i++)
        if (fake->effects[i].changes_bits && has(lane->choices, &fake->effects[i])) *hash += i + 1;
    return true;
}

static void fake_say(void *context, const char *line) {
    text_append(&((Fake *)context)->said, "%s\n", line);
}

static TuneResult search(Fake *fake, double seconds, bool keeps_bits) {
    fake->said = text_create(arena);
    fake->random = 12345;
    awake = 0;
    TuneMachine machine = {.context = fake,
                           .now = fake_now,
                           .interrupted = fake_interrupted,
                           .compile = fake_compile,
                           .release = fake_release,
                           .survey = fake->surveyed ? fake_survey : NULL,
                           .list = fake_list,
                           .written = fake_written,
                           .visit = fake_visit,
                           .bits = fake_bits,
                           .rest = fake_rest,
                           .say = fake_say};
    TuneSettings settings = {.arena = arena, .seconds = seconds, .keeps_bits = keeps_bits};
    TuneResult result = tune_search(&machine, &settings);
    assert_int_equal(fake->lanes, 0); // every lane was given back
    return result;
}

#define EFFECTS(...)                                                                                                   \
    .effects = (const Effect[]){__VA_ARGS__}, .count = sizeof((const Effect[]){__VA_ARGS__}) / sizeof(Effect)

// ---- the search

static void keeps_what_is_faster(void **state) {
    (void)state;
    Fake fake = {EFFECTS({"slower", 1.2, .lucky = 0}, {"faster", 0.9, .lucky = 0}, {"also faster", 0.8, .lucky = 0}),
                 .noise = 0.02};
    TuneResult result = search(&fake, 100, true);
    assert_int_equal(result.end, TUNE_DONE);
    assert_string_equal(result.choices, "faster\nalso faster\n");
    assert_int_equal(result.measured, 3);
    assert_int_equal(result.kept, 2);
    assert_true(result.is_whole);
    assert_false(result.changes_bits);
    assert_true(result.ratio.median > 0.6 && result.ratio.median < 0.85 && result.ratio.high < 1);
    assert_true(result.tuned < result.untuned);
    assert_non_null(strstr(text_string(&fake.said), "tune: slower: "));
    assert_non_null(strstr(text_string(&fake.said), ": not kept\n"));
    assert_true(fake.awake_most <= 2); // never more than two sessions in memory
}

// A gain smaller than what rounds differ by is no proof.
static void noise_is_not_taken_for_a_gain(void **state) {
    (void)state;
    Fake fake = {EFFECTS({"tiny", 0.99, .lucky = 0}), .noise = 0.5};
    TuneResult result = search(&fake, 100, true);
    assert_string_equal(result.choices, "");
    assert_int_equal(result.measured, 1);
}

// Faster as long as it is compared with the incumbent, and not at all afterwards: the last comparison finds it out.
static void never_loses(void **state) {
    (void)state;
    Fake fake = {EFFECTS({"lucky", 0.5, .lucky = 11}), .noise = 0.01};
    TuneResult result = search(&fake, 100, true);
    assert_int_equal(result.kept, 1);
    assert_int_equal(result.end, TUNE_DONE);
    assert_string_equal(result.choices, "");
    assert_true(result.tuned == result.untuned);
    assert_non_null(strstr(text_string(&fake.said), "not proved to be faster"));
}

static void bits_are_kept_where_asked(void **state) {
    (void)state;
    Fake fake = {EFFECTS({"known numeric", 0.5, .is_numeric = true, .changes_bits = true},
                         {"found out", 0.6, .changes_bits = true}, {"same bits", 0.9, .lucky = 0})};
    TuneResult result = search(&fake, 100, true);
    assert_string_equal(result.choices, "same bits\n");
    assert_int_equal(result.measured, 2); // the known one is not even compiled
    assert_false(result.changes_bits);
    assert_non_null(strstr(text_string(&fake.said), "changes bits, not kept"));
    result = search(&fake, 100, false);
    assert_string_equal(result.choices, "known numeric\nfound out\nsame bits\n");
    assert_true(result.changes_bits);
    assert_non_null(strstr(text_string(&fake.said), "kept, changes bits"));
}

static void the_budget_ends_it(void **state) {
    (void)state;
    Effect effects[50];
    for (int i = 0; i < 50; i++)
        effects[i] = (Effect){.line = arena_format(arena, "<%d>", i), .factor = 1.1};
    Fake fake = {.effects = effects, .count = 50, .compile_seconds = 1};
    TuneResult result = search(&fake, 10, true);
    assert_int_equal(result.end, TUNE_DONE);
    assert_false(result.is_whole);
    assert_in_range(result.measured, 5, 10);
    assert_true(result.seconds >= 10 && result.seconds < 12); // the comparison that had begun is finished
}

// The comparison at the end is part of the budget: there is no more than one compile and comparison beyond it.
static void the_end_is_part_of_the_budget(void **state) {
    (void)state;
    Effect effects[50];
    for (int i = 0; i < 50; i++)
        effects[i] = (Effect){.line = arena_format(arena, "<%d>", i), .factor = 0.999};
    Fake fake = {.effects = effects, .count = 50};
    TuneResult result = search(&fake, 2, true);
    assert_true(*result.choices);
    assert_true(result.seconds < 2.3);
}

static void impossible_and_failing_ones_are_left_out(void **state) {
    (void)state;
    Fake fake = {
        EFFECTS({"impossible", 0.1, .cannot_be = true}, {"broken", 0.1, .fails = true}, {"good", 0.9, .lucky = 0})};
    TuneResult result = search(&fake, 100, true);
    assert_string_equal(result.choices, "good\n");
    assert_int_equal(result.measured, 2);
    assert_non_null(strstr(text_string(&fake.said), "tune: broken: does not run\n"));
}

static void each_line_is_tried_once(void **state) {
    (void)state;
    Fake fake = {EFFECTS({"a", 1.5, .lucky = 0}, {"b", 0.9, .lucky = 0}, {"c", 0.9, .lucky = 0})};
    search(&fake, 100, true);
    assert_int_equal(fake.compiles, 1 + 3);
}

static void a_signal_ends_it(void **state) {
    (void)state;
    for (int at = 1; at < 60; at++) {
        Fake fake = {EFFECTS({"faster", 0.9, .lucky = 0}, {"fastest", 0.9, .lucky = 0}), .stop_at_visit = at};
        TuneResult result = search(&fake, 100, true);
        assert_int_equal(result.end, TUNE_STOPPED);
        assert_string_equal(result.choices, "");
    }
}

static void an_untuned_program_that_fails_is_said(void **state) {
    (void)state;
    Fake fake = {EFFECTS({"faster", 0.9, .lucky = 0}), .untuned_fails = true};
    assert_int_equal(search(&fake, 100, true).end, TUNE_BROKEN);
}

// What is faster by itself comes first, all together; that the step is faster so is measured.
static void parts_come_first(void **state) {
    (void)state;
    Fake fake = {EFFECTS({"<a>", 0.9, .lucky = 0}, {"<b>", 0.9, .lucky = 0}, {"other", 0.95, .lucky = 0}),
                 .surveyed = "<a>\n<b>"};
    TuneResult result = search(&fake, 100, true);
    assert_string_equal(result.choices, "<a>\n<b>\nother\n");
    assert_true(fake.survey_deadline == 50);
    assert_ptr_equal(strstr(text_string(&fake.said), "tune: "),
                     strstr(text_string(&fake.said), "tune: each product's fastest way by itself: "));
    Fake slower = {EFFECTS({"<a>", 0.9, .lucky = 0}, {"<b>", 1.2, .lucky = 0}), .surveyed = "<a>\n<b>"};
    assert_string_equal(search(&slower, 100, true).choices, "<a>\n"); // by itself, as a candidate of its own
    Fake without = {EFFECTS({"<a>", 0.9, .lucky = 0}), .surveyed = ""};
    assert_string_equal(search(&without, 100, true).choices, "<a>\n");
    assert_null(strstr(text_string(&without.said), "by itself"));
    Fake numeric = {EFFECTS({"<a>", 0.5, .changes_bits = true}), .surveyed = "<a>"};
    assert_string_equal(search(&numeric, 100, true).choices, "");
    Fake long_one = {EFFECTS({"<a>", 0.5, .lucky = 0}), .surveyed = "<a>", .survey_seconds = 200};
    TuneResult late = search(&long_one, 100, true);
    assert_true(late.seconds < 201); // what was surveyed is compared, and nothing else begun
}

// ---- candidates

static bool offers(const TuneCandidate *candidates, size_t count, const char *line) {
    for (size_t i = 0; i < count; i++)
        if (text_equal(candidates[i].line, line)) return true;
    return false;
}

static void candidates_are_neighbours(void **state) {
    (void)state;
    Explained explained = explained_tiny(arena, "gpt2.spec", spec_embedded("gpt2"), FUSE_ALL);
    TuneCandidate *candidates;
    Target target = target_default();
    size_t count = tune_candidates(arena, explained.plan, explained.ledger, &target, true, &candidates);
    assert_true(count > 20);
    assert_true(offers(candidates, count, "tile * 5x32") || offers(candidates, count, "tile * 5x16"));
    for (size_t i = 0; i < count; i++) {
        Diags *diags = diags_create(arena); // every line is one that choices understand
        Choices *choices = choices_create(arena);
        assert_true(choices_add(choices, "test", candidates[i].line, diags));
        assert_int_equal(choices_count(choices), 1);
        if (i > 0) assert_true(candidates[i - 1].tier <= candidates[i].tier);
    }
    size_t exact = tune_candidates(arena, explained.plan, explained.ledger, &target, false, &candidates);
    assert_true(exact < count);
    for (size_t i = 0; i < exact; i++) {
        assert_false(candidates[i].is_numeric);
        assert_null(strstr(candidates[i].line, "openblas"));
    }
}

// ---- remembering

static char folder[] = "/tmp/sinter-tune-XXXXXX";

static const char *whole_file(const char *path) {
    char *text = file_read_all(arena, path, 1 << 20, NULL, diags_create(arena));
    assert_non_null(text);
    return text;
}

static void put(const char *path, const char *text, size_t length) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(text, 1, length, file);
    fclose(file);
}

static void what_is_stored_is_found(void **state) {
    (void)state;
    setenv("XDG_CACHE_HOME", folder, 1);
    const char *path = tune_path(arena, tune_folder(arena), "key"), *note;
    assert_null(tune_load(arena, path, "key", &note));
    assert_null(note); // nothing there: nothing to say
    assert_null(tune_save(arena, path, "key", "strand 24\n"));
    struct stat facts;
    assert_int_equal(stat(tune_folder(arena), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    const char *text = tune_load(arena, path, "key", &note);
    assert_non_null(text);
    assert_non_null(strstr(text, "\nstrand 24\n# end "));
    Choices *choices = choices_create(arena); // it is a file of choices
    assert_true(choices_add(choices, path, text, diags_create(arena)));
    assert_int_equal(choices_count(choices), 1);
    assert_string_not_equal(path, tune_path(arena, tune_folder(arena), "other key"));
}

static void damaged_files_are_not_taken(void **state) {
    (void)state;
    const char *path = tune_path(arena, tune_folder(arena), "key"), *note;
    const char *text = arena_copy(arena, whole_file(path));
    size_t length = strlen(text);
    for (size_t cut = 0; cut < length; cut++) { // cut short anywhere
        put(path, text, cut);
        assert_null(tune_load(arena, path, "key", &note));
        assert_non_null(note);
    }
    for (size_t at = 0; at < length; at++) { // one byte changed anywhere
        char *changed = arena_copy(arena, text);
        changed[at] ^= 1;
        put(path, changed, length);
        assert_null(tune_load(arena, path, "key", &note));
        assert_non_null(note);
    }
    put(path, text, length);
    assert_non_null(tune_load(arena, path, "key", &note));
    assert_null(tune_load(arena, path, "other key", &note)); // another model under this name
    assert_non_null(note);
}

static void open_folders_and_links_are_not_taken(void **state) {
    (void)state;
    const char *path = tune_path(arena, tune_folder(arena), "key"), *note;
    assert_int_equal(chmod(tune_folder(arena), 0755), 0);
    assert_null(tune_load(arena, path, "key", &note));
    assert_non_null(strstr(note, "chmod 700"));
    assert_non_null(tune_save(arena, path, "key", "strand off\n"));
    assert_int_equal(chmod(tune_folder(arena), 0700), 0);
    const char *other = arena_format(arena, "%s.link", path);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_null(tune_load(arena, path, "key", &note));
    assert_non_null(strstr(note, "no plain file"));
}

static void places_that_cannot_be_are_said(void **state) {
    (void)state;
    setenv("XDG_CACHE_HOME", "/dev/null/nowhere", 1);
    const char *path = tune_path(arena, tune_folder(arena), "key");
    assert_non_null(tune_save(arena, path, "key", "strand off\n"));
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/somebody", 1);
    assert_string_equal(tune_folder(arena), "/somebody/.cache/sinter/tune");
    unsetenv("HOME");
    assert_null(tune_folder(arena));
}

static int setup(void **state) {
    (void)state;
    arena = arena_create();
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    arena_free(arena);
    return system(command) == 0 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_is_faster),
        cmocka_unit_test(noise_is_not_taken_for_a_gain),
        cmocka_unit_test(never_loses),
        cmocka_unit_test(bits_are_kept_where_asked),
        cmocka_unit_test(the_budget_ends_it),
        cmocka_unit_test(the_end_is_part_of_the_budget),
        cmocka_unit_test(impossible_and_failing_ones_are_left_out),
        cmocka_unit_test(each_line_is_tried_once),
        cmocka_unit_test(a_signal_ends_it),
        cmocka_unit_test(an_untuned_program_that_fails_is_said),
        cmocka_unit_test(parts_come_first),
        cmocka_unit_test(candidates_are_neighbours),
        cmocka_unit_test(what_is_stored_is_found),
        cmocka_unit_test(damaged_files_are_not_taken),
        cmocka_unit_test(open_folders_and_links_are_not_taken),
        cmocka_unit_test(places_that_cannot_be_are_said),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
