// Curves of trainings: what is read of metrics files, and the pictures of it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "driver/plot/plot.h"
#include "driver/svg.h"
#include "tests/driver/explained.h"
#include "tests/driver/xml.h"

static char path[] = "/tmp/sinter-plot-XXXXXX";

static int setup(void **state) {
    (void)state;
    int file = mkstemp(path);
    return file < 0 ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    return remove(path);
}

static bool read_text(Arena *arena, const char *text, Run *run, Diags *diags) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
    return run_read(arena, path, run, diags);
}

#define EVALUATION(iter, val) "{\"iter\":" #iter ",\"train_loss\":1,\"val_loss\":" #val "}\n"
#define STEP(iter, loss)                                                                                               \
    "{\"iter\":" #iter ",\"loss\":" #loss ",\"grad_norm\":2,\"lr\":0.1,\"ms\":500,\"tok_s\":1000}\n"

static void a_run_is_read(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Run run;
    assert_true(
        read_text(arena, EVALUATION(0, 4.5) STEP(0, 4) STEP(1, null) STEP(2, 3) EVALUATION(2, 3.5), &run, NULL));
    assert_int_equal(run.step_count, 3);
    assert_int_equal(run.evaluation_count, 2);
    assert_true(run.steps[0].loss == 4 && isnan(run.steps[1].loss) && run.steps[2].loss == 3);
    assert_true(run.steps[2].seconds == 1.5 && run.steps[2].grad_norm == 2 && run.steps[2].tokens_per_second == 1000);
    assert_true(run.evaluations[1].iteration == 2 && run.evaluations[1].validation_loss == 3.5);
    assert_false(run.is_cut);
    arena_free(arena);
}

// A resumed run repeats what lay behind its checkpoint.
static void the_later_one_stands(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Run run;
    assert_true(
        read_text(arena, STEP(0, 9) STEP(1, 8) STEP(2, 7) EVALUATION(2, 7) STEP(1, 6) EVALUATION(1, 5), &run, NULL));
    assert_int_equal(run.step_count, 2);
    assert_int_equal(run.evaluation_count, 1);
    assert_true(run.steps[1].loss == 6 && run.steps[1].seconds == 1 && run.evaluations[0].iteration == 1);
    arena_free(arena);
}

static void a_cut_line_is_left_out(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Run run;
    assert_true(read_text(arena, STEP(0, 9) "{\"iter\":1,\"lo", &run, NULL));
    assert_int_equal(run.step_count, 1);
    assert_true(run.is_cut);
    arena_free(arena);
}

static void broken_files_are_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", ": no record of any iteration"},
        {"hello\n", ":1: not JSON"},
        {STEP(0, 1) "{\"iter\":1,\n" STEP(2, 1), ":2: not JSON"},
        {STEP(0, 1) "[1]\n", ":2: no record of a training"},
        {STEP(0, 1) "{\"loss\":1}\n", ":2: no record of a training"},
        {"{\"iter\":-1,\"loss\":1}\n", ":1: no record of a training"},
        {"{\"iter\":\"1\",\"loss\":1}\n", ":1: no record of a training"},
        {"{\"iter\":1,\"iter\":2}\n", ":1: not JSON"},
        {"{\"iter\":1", ":1: not JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena *arena = arena_create();
        Diags *diags = diags_create(arena);
        Run run;
        Text complaint = text_create(arena);
        assert_false(read_text(arena, cases[i][0], &run, diags));
        diags_render(diags, &complaint);
        if (!strstr(text_string(&complaint), cases[i][1]))
            fail_msg("'%s' in: %s", cases[i][1], text_string(&complaint));
        arena_free(arena);
    }
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Run run;
    assert_false(run_read(arena, "/no/such/run", &run, diags));
    assert_false(run_read(arena, "/tmp/..", &run, diags)); // a folder without metrics
    assert_int_equal(diags_errors(diags), 2);
    arena_free(arena);
}

// ---- figures

static Run synthetic(Arena *arena, const char *name, size_t steps, double scale) {
    Run run = {.name = name,
               .steps = ARENA_ARRAY(arena, RunStep, steps),
               .step_count = steps,
               .evaluations = ARENA_ARRAY(arena, RunEvaluation, 3),
               .evaluation_count = 3};
    for (size_t i = 0; i < steps; i++)
        run.steps[i] = (RunStep){.iteration = (int64_t)i,
                                 .seconds = 0.01 * (double)(i + 1),
                                 .loss = 2 + scale * exp(-6.0 * (double)i / (double)steps) + (i % 2 ? 0.1 : -0.1),
                                 .grad_norm = 1,
                                 .tokens_per_second = 90000 + 100 * (double)(i % 7)};
    for (size_t i = 0; i < 3; i++)
        run.evaluations[i] = (RunEvaluation){.iteration = (int64_t)(i * (steps - 1) / 2),
                                             .validation_loss = 2.5 + scale / (1 + (double)i)};
    return run;
}

static void smoothing_and_ranges(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Run run = synthetic(arena, "run", 5000, 2);
    run.steps[100].loss = NAN;
    Figure figure = figure_create(arena, &run, 1, 0, false, 300);
    assert_int_equal(figure.smooth, 51);
    assert_int_equal(figure.panel_count, 3);
    assert_string_equal(figure_note(&figure, arena), "line: mean of 51 iterations; points: validation loss");
    for (size_t p = 0; p < 3; p++) {
        const Panel *panel = &figure.panels[p];
        assert_true(panel->x.low == 0 && panel->x.high == 4999);
        for (size_t c = 0; c < panel->curve_count; c++) {
            const Curve *curve = &panel->curves[c];
            assert_true(curve->count <= 600);
            for (size_t i = 0; curve->kind != CURVE_RAW && i < curve->count; i++)
                assert_true(isnan(curve->points[i].y) ||
                            (curve->points[i].y >= panel->y.low && curve->points[i].y <= panel->y.high));
        }
    }
    // The alternation of 0.1 is gone from the line.
    const Curve *line = &figure.panels[0].curves[1];
    assert_int_equal(line->kind, CURVE_LINE);
    for (size_t i = 2; i + 2 < line->count; i++)
        assert_true(line->points[i].y <= line->points[i - 1].y + 0.01);
    Figure plain = figure_create(arena, &run, 1, 1, true, 300);
    assert_string_equal(figure_note(&plain, arena), "line: every iteration, not smoothed; points: validation loss");
    assert_true(plain.panels[0].x.high > 49.9 && plain.panels[0].curves[0].kind == CURVE_LINE);
    arena_free(arena);
}

static void ticks(void **state) {
    (void)state;
    Arena *arena = arena_create();
    assert_string_equal(figure_tick(arena, &(Axis){0, 4.5, 0.5}, 0.5), "0.5");
    assert_string_equal(figure_tick(arena, &(Axis){0, 600, 100}, 300), "300");
    assert_string_equal(figure_tick(arena, &(Axis){0, 120000, 20000}, 20000), "20k");
    assert_string_equal(figure_tick(arena, &(Axis){0, 12000, 500}, 2500), "2.5k");
    assert_string_equal(figure_tick(arena, &(Axis){0, 12000, 500}, 1e-12), "0.0");
    assert_string_equal(figure_tick(arena, &(Axis){-0.02, 0.02, 0.01}, -0.01), "-0.01");
    arena_free(arena);
}

static void pictures_are_sound(void **state) {
    (void)state;
    Arena *arena = arena_create();
    // Names that XML does not allow as they are, one step alone, nothing finite at all.
    Run runs[3] = {synthetic(arena, "a<b>&\"c\x01\xff", 200, 2), synthetic(arena, "one", 1, 1),
                   synthetic(arena, "none", 3, 1)};
    for (int i = 0; i < 3; i++)
        runs[2].steps[i].loss = runs[2].steps[i].grad_norm = runs[2].steps[i].tokens_per_second = NAN;
    runs[2].evaluation_count = 0;
    for (size_t count = 1; count <= 3; count++) {
        Figure figure = figure_create(arena, runs, count, 0, false, 100);
        Text svg = text_create(arena);
        plot_svg(&figure, &svg);
        const char *fault = xml_fault(text_string(&svg));
        if (fault) fail_msg("%s", fault);
        assert_int_equal(text_count(text_string(&svg), "nan"), 0);
        assert_int_equal(text_count(text_string(&svg), "inf"), 0);
        assert_int_equal(text_count(text_string(&svg), "http"), 1); // the namespace: nothing is fetched
    }
    Figure figure = figure_create(arena, &runs[2], 1, 0, false, 100);
    Text svg = text_create(arena), text = text_create(arena);
    plot_svg(&figure, &svg);
    plot_terminal(&figure, &(Terminal){.columns = 40}, &text);
    assert_null(xml_fault(text_string(&svg)));
    assert_non_null(strstr(text_string(&text), "none"));
    arena_free(arena);
}

static void in_a_terminal(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Run runs[2] = {synthetic(arena, "first", 120, 2), synthetic(arena, "second", 60, 1)};
    Figure one = figure_create(arena, runs, 1, 5, false, 100), two = figure_create(arena, runs, 2, 5, false, 100);
    Text text = text_create(arena);
    plot_terminal(&two, &(Terminal){.columns = 60}, &text);
    plot_terminal(&one, &(Terminal){.columns = 60, .braille = true}, &text);
    for (const char *c = text_string(&text); *c; c++)
        assert_true(*c != '\x1b');
    assert_golden("plot.txt", text_string(&text), arena);
    Text colour = text_create(arena);
    plot_terminal(&two, &(Terminal){.columns = 5, .braille = true, .colour = true}, &colour);
    assert_non_null(strstr(text_string(&colour), "\x1b[33m"));
    assert_non_null(strstr(text_string(&colour), "\xe2\xa0"));
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_read),          cmocka_unit_test(the_later_one_stands),
        cmocka_unit_test(a_cut_line_is_left_out), cmocka_unit_test(broken_files_are_refused),
        cmocka_unit_test(smoothing_and_ranges),   cmocka_unit_test(ticks),
        cmocka_unit_test(pictures_are_sound),     cmocka_unit_test(in_a_terminal),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
