// A bench made by hand: what is compared and what is flagged, its table, its record and its report.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/bench/bench.h"

enum { ROUNDS = 9, STEPS = 2 };

static int make_arena(void **state) {
    *state = arena_create();
    return *state ? 0 : -1;
}

static int drop_arena(void **state) {
    arena_free(*state);
    return 0;
}

// A variant whose rounds take `milliseconds`, a little more in each.
static Variant *add(Arena *arena, Bench *bench, Variant variant, double milliseconds) {
    variant.tokens = variant.tokens ? variant.tokens : 768;
    variant.parameters = 796032;
    variant.formula_flops = 5e6 * (double)variant.tokens;
    variant.product_flops = 3.8e9;
    variant.seconds = ARENA_ARRAY(arena, double, ROUNDS *STEPS);
    variant.visits = ARENA_ARRAY(arena, double, ROUNDS);
    variant.losses = ARENA_ARRAY(arena, double, ROUNDS);
    variant.errors = (CheckErrors){{1e-7, "loss"}, {1e-6, "grad.w"}, {2e-7, "w"}, true};
    for (int round = 0; round < ROUNDS; round++) {
        for (int step = 0; step < STEPS; step++)
            variant.seconds[round * STEPS + step] = 1e-9 * (double)(int64_t)(1e6 * milliseconds * (1 + 1e-4 * round));
        variant.visits[round] = median_of(variant.seconds + round * STEPS, STEPS);
        variant.losses[round] = (float)(4.17 / (1 + round));
    }
    variant.time = estimate_median(variant.visits, ROUNDS);
    return bench_add(arena, bench, variant);
}

static Bench make_bench(Arena *arena) {
    Bench bench = {.model = "gpt2",
                   .spec_file = "gpt2.spec",
                   .spec_source = "model gpt2 \"<&>\"\n",
                   .config = "batch_size = 12\nlearning_rate = 0.001\n",
                   .tokens_path = "data/train.bin",
                   .tokens_hash = "0123456789abcdef",
                   .tokens_bytes = 2007708,
                   .rounds = ROUNDS,
                   .visit_steps = STEPS,
                   .warmup_steps = 2,
                   .resident = true,
                   .processor_share = 0.99,
                   .sinter = "0.1.0",
                   .llvm = "22",
                   .blas = "OpenBLAS",
                   .error_shape = "as configured",
                   .when = "2026-01-31 12:00:00 UTC",
                   .machine = {.cpu = "some <processor>",
                               .cores = 2,
                               .threads = 2,
                               .vector_bytes = 64,
                               .l1_bytes = 49152,
                               .l2_bytes = 1 << 20,
                               .l3_bytes = 1 << 25,
                               .peak_flops = 5e11,
                               .read_bandwidth = 5e10,
                               .triad_bandwidth = 4e10}};
    bench.barriers = ARENA_ARRAY(arena, double, ROUNDS + 1);
    for (int i = 0; i <= ROUNDS; i++)
        bench.barriers[i] = 1e-7;
    return bench;
}

static Bench make_levels(Arena *arena) {
    Bench bench = make_bench(arena);
    static const struct {
        const char *name;
        FuseLevel level;
        double milliseconds;
    } levels[] = {{"none", FUSE_NONE, 30}, {"op", FUSE_OP, 15}, {"all", FUSE_ALL, 10}};
    for (int i = 0; i < 3; i++)
        add(arena, &bench, (Variant){.name = levels[i].name, .fuse = levels[i].level}, levels[i].milliseconds);
    return bench;
}

static void levels_are_compared_with_op(void **state) {
    Bench bench = make_levels(*state);
    const Variant *all = bench_main(&bench), *op = bench_base(&bench, all);
    assert_string_equal(all->name, "all");
    assert_string_equal(op->name, "op");
    assert_ptr_equal(bench_base(&bench, op), op);
    assert_float_equal(bench_speedup(&bench, all, op).median, 1.5, 1e-6);
}

// Each device's levels among themselves, and a GPU's beside the processor's.
static void devices_are_compared_level_by_level(void **state) {
    Arena *arena = *state;
    Bench bench = make_levels(arena);
    bench.machine.gpu = "some GPU";
    bench.machine.gpu_kind = "tf32";
    bench.machine.gpu_flops = 4e14;
    bench.machine.gpu_bandwidth = 4e12;
    add(arena, &bench, (Variant){.name = "cuda op", .fuse = FUSE_OP, .on_gpu = true}, 0.3);
    Variant *all = add(arena, &bench, (Variant){.name = "cuda all", .fuse = FUSE_ALL, .on_gpu = true}, 0.2);
    assert_ptr_equal(bench_main(&bench), all);
    assert_string_equal(bench_base(&bench, all)->name, "cuda op");
    assert_string_equal(bench_base(&bench, &bench.variants[2])->name, "op");
    assert_string_equal(bench_on_processor(&bench, all)->name, "all");
    assert_null(bench_on_processor(&bench, &bench.variants[2]));
    assert_float_equal(bench_mfu(&bench, all) / bench_mfu(&bench, &bench.variants[2]), 50 * 5e11 / 4e14, 1e-6);
    Text text = text_create(arena);
    bench_table(&bench, &text);
    assert_non_null(strstr(text_string(&text), "devices: cuda all takes 0.200 ms, all 10.00: 50 times as fast"));
    assert_non_null(strstr(text_string(&text), "unlike: products on the GPU may round their factors to tf32"));
    const double seconds[] = {1, 1, 4};   // several runs are under way there: single steps mean little
    assert_true(bench_visit_seconds(all, seconds, 3) == 2 && bench_visit_seconds(&bench.variants[2], seconds, 3) == 1);
    all->tokens *= 2;
    assert_null(bench_on_processor(&bench, all));
}

static void unlike_work_is_flagged_and_not_compared(void **state) {
    Arena *arena = *state;
    Bench bench = make_bench(arena);
    add(arena, &bench, (Variant){.name = "batch_size=12", .fuse = FUSE_ALL, .key = "batch_size", .value = "12"}, 10);
    add(arena, &bench,
        (Variant){.name = "batch_size=48", .fuse = FUSE_ALL, .key = "batch_size", .value = "48", .tokens = 3072}, 35);
    assert_false(bench_same_work(&bench.variants[0], &bench.variants[1]));
    const Variant *base = bench_base(&bench, &bench.variants[1]);
    assert_true(base == NULL || base == &bench.variants[1]);
    Text text = text_create(arena);
    bench_table(&bench, &text);
    assert_non_null(strstr(text_string(&text), "unlike: batch_size=48 does other work than batch_size=12"));
    Text page = text_create(arena);
    bench_report(&bench, NULL, &page);
    assert_non_null(strstr(text_string(&page), "Tokens a second"));
    assert_non_null(strstr(text_string(&page), "unlike work"));
}

static void a_decision_that_costs_is_flagged(void **state) {
    Arena *arena = *state;
    Bench bench = make_levels(arena);
    bench.ablates = true;
    const MadeKind kinds[] = {{.pass = "find_bands", .what = "band of softmax", .forbid = "forbid band of softmax"},
                              {.pass = "plan_strands", .what = "strand", .forbid = "forbid strand"}};
    size_t levels = bench.variant_count;
    bench_add_ablation(arena, &bench, kinds, 2);
    assert_int_equal(bench.variant_count, levels + 5); // two left out, none, two alone
    assert_string_equal(bench.variants[levels].choices, "forbid band of softmax\n");
    assert_string_equal(bench.variants[levels + 2].choices, "forbid band of softmax\nforbid strand\n");
    assert_string_equal(bench.variants[levels + 3].choices, "forbid strand\n");
    Bench timed = make_levels(arena);
    timed.ablates = true;
    static const double milliseconds[] = {12, 9.7, 14, 13, 11};
    for (size_t i = 0; i < 5; i++)
        add(arena, &timed, bench.variants[levels + i], milliseconds[i]);
    assert_false(bench_is_loss(&timed, &timed.variants[levels]));
    assert_true(bench_is_loss(&timed, &timed.variants[levels + 1])); // 3 % faster without
    assert_false(bench_is_loss(&timed, &timed.variants[levels + 3]));
    assert_string_equal(bench_base(&timed, &timed.variants[levels + 4])->name, "all without any of these");
    Text text = text_create(arena);
    bench_table(&timed, &text);
    assert_non_null(strstr(text_string(&text), "  LOSS\n"));
}

// A visit of the machine's whims is no loss: the intervals overlap.
static void noise_is_not_flagged(void **state) {
    Arena *arena = *state;
    Bench bench = make_levels(arena);
    Variant *without =
        add(arena, &bench, (Variant){.name = "all without x", .role = ROLE_WITHOUT, .fuse = FUSE_ALL}, 9.7);
    for (int round = 0; round < ROUNDS; round += 2)
        without->visits[round] = 0.0111;
    without->time = estimate_median(without->visits, ROUNDS);
    assert_false(bench_is_loss(&bench, without));
}

static void lines_fit_a_page(void **state) {
    Arena *arena = *state;
    Bench bench = make_levels(arena);
    add(arena, &bench,
        (Variant){.name = "all without a decision of a very long name", .role = ROLE_WITHOUT, .fuse = FUSE_ALL}, 98.7);
    add(arena, &bench,
        (Variant){.name = "batch_size=4096", .fuse = FUSE_ALL, .key = "batch_size", .value = "4096", .tokens = 1 << 22},
        98765);
    add(arena, &bench,
        (Variant){.name = "batch_size=1", .fuse = FUSE_ALL, .key = "batch_size", .value = "1", .tokens = 8}, 0.0123);
    Text text = text_create(arena);
    bench.processor_share = 0.2;
    bench_table(&bench, &text);
    bench_replay_table(&bench, &bench, &text);
    for (const char *line = text_string(&text); *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strcspn(line, "\n") > 100)
            fail_msg("%zu columns: %.*s", strcspn(line, "\n"), (int)strcspn(line, "\n"), line);
}

static void a_slow_blas_is_told(void **state) {
    Arena *arena = *state;
    Bench bench = make_levels(arena);
    Text plain = text_create(arena), forced = text_create(arena);
    bench_table(&bench, &plain);
    assert_null(strstr(text_string(&plain), "OpenBLAS forced"));
    bench.blas = "OpenBLAS 0.3 DYNAMIC_ARCH Haswell, forced by OPENBLAS_CORETYPE=Haswell";
    bench_table(&bench, &forced);
    assert_non_null(strstr(text_string(&forced), "OpenBLAS forced by"));
    assert_non_null(strstr(text_string(&forced), "OPENBLAS_CORETYPE=Haswell"));
}

static void a_busy_machine_is_told(void **state) {
    Arena *arena = *state;
    Bench bench = make_levels(arena);
    Text quiet = text_create(arena), busy = text_create(arena);
    bench_table(&bench, &quiet);
    assert_null(strstr(text_string(&quiet), "busy"));
    bench.processor_share = 0.6;
    bench_table(&bench, &busy);
    assert_non_null(strstr(text_string(&busy), "busy: other work took 40 %"));
}

// ---- the record

static int read_text(Arena *arena, const char *text, Bench *bench, const char **complaint) {
    char path[] = "/tmp/sinter-bench-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
    Command command = {.arena = arena, .diags = diags_create(arena), .config = config_create(arena)};
    int status = bench_read(&command, path, bench);
    Text complaints = text_create(arena);
    diags_render(command.diags, &complaints);
    *complaint = text_string(&complaints);
    unlink(path);
    return status;
}

static void records_come_back_exactly(void **state) {
    Arena *arena = *state;
    Bench bench = make_levels(arena), read;
    bench.variants[2].choices = "forbid strand\n";
    bench.variants[1].key = "batch_size";
    bench.variants[1].value = "12";
    const char *complaint, *record = bench_record(arena, &bench);
    if (read_text(arena, record, &read, &complaint) != EXIT_DONE) fail_msg("%s", complaint);
    assert_string_equal(read.spec_source, bench.spec_source);
    assert_string_equal(read.config, bench.config);
    assert_int_equal(read.tokens_bytes, bench.tokens_bytes);
    assert_int_equal(read.variant_count, 3);
    for (size_t i = 0; i < 3; i++) {
        const Variant *a = &bench.variants[i], *b = &read.variants[i];
        assert_string_equal(a->name, b->name);
        assert_string_equal(a->choices, b->choices);
        assert_int_equal(a->fuse, b->fuse);
        assert_memory_equal(a->losses, b->losses, ROUNDS * sizeof(double));
        assert_float_equal(a->time.median, b->time.median, 1e-12);
        assert_float_equal(a->time.high, b->time.high, 1e-12);
    }
    assert_string_equal(read.variants[1].value, "12");
    assert_null(read.variants[0].key);
    Text text = text_create(arena);
    assert_true(bench_replay_table(&read, &bench, &text));
    assert_non_null(strstr(text_string(&text), "losses: equal"));
}

static void replays_notice_other_losses_and_machines(void **state) {
    Arena *arena = *state;
    Bench before = make_levels(arena), now = make_levels(arena);
    now.variants[1].losses[3] *= 1 + 1e-12;
    snprintf(now.machine.cpu, sizeof now.machine.cpu, "another");
    Text text = text_create(arena);
    assert_false(bench_replay_table(&before, &now, &text));
    assert_non_null(strstr(text_string(&text), "DIFFER"));
    assert_non_null(strstr(text_string(&text), "other processor: some <processor> in the record, another here"));
}

static char *replaced(Arena *arena, const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    assert_non_null(at);
    return arena_format(arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void damaged_records_are_refused(void **state) {
    Arena *arena = *state;
    Bench bench = make_levels(arena), read;
    const char *record = bench_record(arena, &bench), *complaint;
    static const struct {
        const char *from, *to, *said;
    } damages[] = {{"\"sinter bench\"", "\"another\"", "format"},
                   {"\"version\": 1", "\"version\": 2", "version 2"},
                   {"\"rounds\": 9", "\"rounds\": 8", "no list of 8 rounds"},
                   {"\"rounds\": 9", "\"rounds\": -1", "no count"},
                   {"\"level\": \"op\"", "\"level\": \"ops\"", "no level 'ops'"},
                   {"\"role\": \"level\"", "\"role\": \"x\"", "no role 'x'"},
                   {"\"spec\":", "\"spac\":", "'spec' is missing"},
                   {"\"losses\": [", "\"losses\": [null,", "losses"},
                   {"\"config\": \"", "\"config\": 5, \"c\": \"", "'config' is no text"},
                   {"\"variants\": [", "\"variants\": 3, \"v\": [", "no list of variants"},
                   {"{", "[", "line"}};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const char *damaged = replaced(arena, record, damages[i].from, damages[i].to);
        int status = read_text(arena, damaged, &read, &complaint);
        if (status != EXIT_BAD_FILE || !strstr(complaint, damages[i].said))
            fail_msg("%s -> %s: status %d, %s", damages[i].from, damages[i].to, status, complaint);
    }
}

// ---- the report

// Every tag that opens is closed, in order; void tags close themselves.
static void check_tags(const char *page) {
    char open[64][24];
    int depth = 0;
    for (const char *at = strstr(page, "<html"); (at = strchr(at, '<')) != NULL;) {
        const char *end = strchr(at, '>');
        assert_non_null(end);
        bool closes = at[1] == '/', empty = end[-1] == '/';
        const char *name = at + 1 + closes;
        int length = (int)strcspn(name, " />\n");
        assert_true(length > 0 && length < 24);
        if (closes) {
            assert_true(depth > 0);
            if ((int)strlen(open[depth - 1]) != length || strncmp(open[depth - 1], name, (size_t)length) != 0)
                fail_msg("<%s> closed by </%.*s>", open[depth - 1], length, name);
            depth--;
        } else if (!empty) {
            assert_true(depth < 64);
            snprintf(open[depth++], sizeof open[0], "%.*s", length, name);
        }
        at = end;
    }
    assert_int_equal(depth, 0);
}

static void check_report(const char *page) {
    static const char *const outside[] = {"http:", "https:", "src=", "<script", "@import", "url(", "href=\"/", "file:"};
    static const char *const no_numbers[] = {"nan%", "nan<", "nan\"", "nan ", "inf%", "inf<", "inf\""};
    check_tags(page);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        if (strstr(page, outside[i])) fail_msg("the report refers to something outside: %s", outside[i]);
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++)
        assert_null(strstr(page, no_numbers[i]));
    assert_null(strstr(page, "some <processor>"));
    assert_non_null(strstr(page, "some &lt;processor&gt;"));
}

static void the_report_is_one_sound_page(void **state) {
    Arena *arena = *state;
    Bench bench = make_levels(arena);
    bench.ablates = true;
    add(arena, &bench,
        (Variant){.name = "all without strand", .role = ROLE_WITHOUT, .fuse = FUSE_ALL, .kind = "strand"}, 9);
    add(arena, &bench, (Variant){.name = "all without any of these", .role = ROLE_BARE, .fuse = FUSE_ALL}, 14);
    add(arena, &bench, (Variant){.name = "only strand", .role = ROLE_ONLY, .fuse = FUSE_ALL, .kind = "strand"}, 12);
    BoxFigure boxes[] = {{"product", "matmul", "layer[0..3].u", 4, 2e8, 3e6, 6e-4},
                         {"row", "softmax <rows>", "layer[0..3].p", 4, 1e6, 2e6, 9e-5},
                         {"map", "copy", "x", 1, 0, 4e5, 1e-5}};
    double alive[] = {1e5, 3e6, 2e6, 5e4};
    bench.variants[2].boxes = boxes;
    bench.variants[2].box_count = 3;
    bench.variants[2].alive = alive;
    bench.variants[2].alive_count = 4;
    bench.variants[2].drawing = "<svg><title>boxes</title></svg>";
    Text page = text_create(arena);
    bench_report(&bench, "bench.json", &page);
    check_report(text_string(&page));
    static const char *const parts[] = {"1.50 times as fast as op", "faster without",       "softmax &lt;rows&gt;",
                                        "Memory over the step",     "<title>boxes</title>", "--replay=bench.json"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_non_null(strstr(text_string(&page), parts[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(levels_are_compared_with_op, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(devices_are_compared_level_by_level, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(unlike_work_is_flagged_and_not_compared, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(a_decision_that_costs_is_flagged, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(noise_is_not_flagged, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(lines_fit_a_page, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(a_slow_blas_is_told, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(a_busy_machine_is_told, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(records_come_back_exactly, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(replays_notice_other_losses_and_machines, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(damaged_records_are_refused, make_arena, drop_arena),
        cmocka_unit_test_setup_teardown(the_report_is_one_sound_page, make_arena, drop_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
