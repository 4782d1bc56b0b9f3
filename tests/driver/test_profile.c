// The parts of `sinter profile`, without a clock: traces and times here are made by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>

#include "base/file.h"
#include "driver/profile/profile.h"

static const char golden_path[] = SOURCE_DIR "/tests/driver/profile_page.txt";
static const char gpu_golden_path[] = SOURCE_DIR "/tests/driver/profile_page_gpu.txt";

// ---- a compiled model without code: plans, and programs that only say how their steps are cut

enum { MOST_STEPS = 4096 };
typedef struct {
    Arena *arena;
    Command command;
    Target target;
    Plan *plan;
    Program program;
    ProgramStep steps[MOST_STEPS];
} Model;

static void set(Command *command, const char *key, const char *value) {
    assert_true(config_assign(command->config, key, value, (Place){0}, command->diags));
}

static Plan *plan_step(Model *model) {
    StateTable states = {.arena = model->arena};
    CompileRequest request = {.fuse = FUSE_ALL, .target = &model->target, .observer = {.limit = -1}};
    Plan *plan = compile_plan(model->arena, model->command.spec, model->command.config, MODEL_STEP, &request,
                              ledger_create(model->arena), &states, model->command.diags);
    assert_non_null(plan);
    return plan;
}

static Model *model_create(void) {
    Arena *arena = arena_create();
    Model *model = ARENA_NEW(arena, Model);
    model->arena = arena;
    model->target = target_default();
    Command *command = &model->command;
    *command = (Command){.arena = arena, .diags = diags_create(arena), .config = config_create(arena), .echo = stderr};
    declare_profile_keys(command->config);
    command->spec = spec_parse(arena, "gpt2", spec_embedded("gpt2"), command->diags);
    assert_true(spec_declare(command->spec, command->config, command->diags));
    const char *const sizes[][2] = {{"n_layer", "3"},    {"n_head", "2"},     {"n_embd", "16"}, {"batch_size", "16"},
                                    {"block_size", "8"}, {"vocab_size", "5"}, {"gradient_accumulation_steps", "1"}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) set(command, sizes[i][0], sizes[i][1]);
    model->plan = plan_step(model);
    assert_true(model->plan->step_count <= MOST_STEPS);
    for (uint32_t s = 0; s < model->plan->step_count; s++) {
        const Step *step = &model->plan->steps[s];
        model->steps[s] = (ProgramStep){.pieces = step->cut.pieces, .groups = step->cut.groups, .wait = step->wait,
                                        .joined = step->joined, .id = s, .label = step->label};
    }
    model->program = (Program){.name = "step", .steps = model->steps, .step_count = model->plan->step_count};
    return model;
}

static Profile profile_of(Model *model, int threads) {
    return (Profile){
        .model = "gpt2",
        .level = "all",
        .batch_size = 16,
        .block_size = 8,
        .accumulation = 1,
        .tokens = 128,
        .machine = {.model = "test", .cores = 2, .threads = threads, .fma_flops = 500e9, .read_bandwidth = 50e9},
        .formula_flops = 1e6,
        .product_flops = 0.9e6,
        .table = {.arena = model->arena},
        .steps = 1,
        .eval_interval = 250};
}

// Two threads: every piece takes 10 ticks and a tick for each number of its step; every wait 3 on one and 5 on the
// other.
static Trace *trace_by_hand(Model *model) {
    const Program *program = &model->program;
    Trace *trace = trace_create(&program, 1, 2);
    trace_begin(trace, program);
    trace->begin = 1000;
    for (int t = 0; t < 2; t++) {
        TraceThread *thread = trace->threads[t];
        uint64_t now = trace->begin;
        thread->slices[thread->count++] = (TraceSlice){now += 2, 0, TRACE_WAIT};
        for (uint32_t s = 0; s < program->step_count; s++) {
            if (program->steps[s].wait) thread->slices[thread->count++] = (TraceSlice){now += t ? 5 : 3, s, TRACE_WAIT};
            uint32_t pieces = program->steps[s].pieces;
            for (uint32_t p = pieces * (uint32_t)t / 2; p < pieces * (uint32_t)(t + 1) / 2; p++)
                thread->slices[thread->count++] = (TraceSlice){now += 10 + s, s, p};
        }
        trace->end = t == 0 || now > trace->end ? now : trace->end;
    }
    trace->end += 4;
    for (int t = 0; t < 2; t++) {
        TraceThread *thread = trace->threads[t];
        thread->slices[thread->count++] = (TraceSlice){trace->end, program->step_count, TRACE_WAIT};
    }
    return trace;
}

// ---- sums

static void every_tick_has_its_box_or_wait(void **state) {
    (void)state;
    Model *model = model_create();
    Profile profile = profile_of(model, 2);
    ProfiledProgram profiled = profiled_program(&profile.table, model->plan, &model->program, 3);
    Trace *trace = trace_by_hand(model);
    StepSample sample = sample_create(model->arena, profile.table.count);
    sample_add(&sample, &profiled, trace);
    double all = sample.imbalance + sample.barrier, pieces = 0, waits = 0;
    for (size_t b = 0; b < profile.table.count; b++) {
        all += sample.boxes[b];
        waits += sample.waits[b];
    }
    for (uint32_t s = 0; s < model->plan->step_count; s++) {
        pieces += model->plan->steps[s].cut.pieces * (10.0 + s);
        assert_string_equal(profile.table.boxes[profiled.boxes[s]].label, model->plan->steps[s].label);
    }
    assert_true(all == 3 * 2.0 * (double)(trace->end - trace->begin));   // 3 runs, 2 threads: whole numbers, exact
    assert_true(all - sample.imbalance - sample.barrier == 3 * pieces);
    assert_true(waits > 0 && waits < sample.imbalance + sample.barrier);  // waking and the end belong to no box
    assert_true(profile.table.count < model->plan->step_count);           // layers share their boxes
    trace_free(trace);
    arena_free(model->arena);
}

static void shares_add_up_to_the_step(void **state) {
    (void)state;
    Model *model = model_create();
    Profile profile = profile_of(model, 2);
    ProfiledProgram profiled = profiled_program(&profile.table, model->plan, &model->program, 1);
    Trace *trace = trace_by_hand(model);
    enum { STEPS = 8 };
    StepSample plain[STEPS], with[STEPS];
    profile.steps = STEPS;
    for (int i = 0; i < STEPS; i++) {   // out of order, with one that was interrupted
        plain[i] = with[i] = sample_create(model->arena, profile.table.count);
        with[i] = sample_create(model->arena, profile.table.count);
        sample_add(&with[i], &profiled, trace);
        plain[i].total = i == 3 ? 1e6 : 100e-6 + 1e-6 * ((i * 5) % 8);
        with[i].total = plain[i].total + 2e-6;
        with[i].data = 1e-6;
    }
    profile_keep(&profile, plain, with, 1e-9);
    double sum = profile_unaccounted(&profile), threads_time = 1e-9 * (double)(trace->end - trace->begin);
    for (Cause cause = 0; cause < CAUSE_COUNT; cause++) sum += profile_cause_seconds(&profile, cause);
    assert_true(fabs(sum - profile.step_seconds) < 1e-15);
    assert_true(fabs(profile.step_seconds - 100.5e-6) < 1e-15 && profile.spread > 0 && profile.spread < 0.1);
    assert_true(fabs(profile.profiled_seconds - profile.step_seconds - 2e-6) < 1e-15);
    assert_true(fabs(profile.step_seconds - profile_unaccounted(&profile) - profile.data_seconds - threads_time) <
                1e-15);
    trace_free(trace);
    arena_free(model->arena);
}

static void causes_follow_from_form_and_speed(void **state) {
    (void)state;
    Arena *arena = arena_create();
    ProfileBox boxes[] = {
        {.label = "product", .first_place = "x", .form = FORM_PRODUCT, .flops = 1e6, .seconds = 1e-3},
        {.label = "softmax", .first_place = "x", .form = FORM_ROW, .flops = 1e6, .far_bytes = 10e6, .seconds = 1e-3},
        {.label = "adamw", .first_place = "x", .form = FORM_MAP, .flops = 1e6, .far_bytes = 40e6, .seconds = 1e-3},
        {.label = "pack", .first_place = "x", .form = FORM_MAP, .bytes = 1e6, .seconds = 1e-3},
    };
    BoxTable table = {.arena = arena, .boxes = boxes, .count = 4};
    box_table_finish(&table, 50e9);
    assert_int_equal(boxes[0].cause, CAUSE_CONTRACTION);
    assert_int_equal(boxes[1].cause, CAUSE_POINTWISE);   // 10 GB/s of 50
    assert_int_equal(boxes[2].cause, CAUSE_MEMORY);      // 40 GB/s
    assert_int_equal(boxes[3].cause, CAUSE_MEMORY);
    arena_free(arena);
}

// ---- predictions

static const Prediction *find_prediction(const Profile *profile, const char *change) {
    for (int i = 0; i < profile->prediction_count; i++)
        if (text_equal(profile->predictions[i].change, change)) return &profile->predictions[i];
    fail_msg("no prediction for %s", change);
    return NULL;
}

// Predicted gain of a batch four times as large when only boxes of `label` cost anything.
static double gain_of_batch_64(const char *label) {
    Model *model = model_create();
    Profile profile = profile_of(model, 1);
    box_table_add(&profile.table, model->plan, 1);
    for (size_t b = 0; b < profile.table.count; b++) {
        ProfileBox *box = &profile.table.boxes[b];
        bool counts = text_equal(box->label, label);
        box->seconds =
            counts ? box->flops / profile.machine.fma_flops + box->bytes / profile.machine.read_bandwidth : 0;
        profile.step_seconds += box->seconds;
    }
    assert_true(profile.step_seconds > 0);
    box_table_finish(&profile.table, profile.machine.read_bandwidth);
    Training training = {.threads = threads_create(1, false, model->command.diags)};
    profile_predict(&model->command, &training, &model->target, NULL, &profile);
    double gain = find_prediction(&profile, "batch_size 64")->gain;
    for (int i = 1; i < profile.prediction_count; i++)
        assert_true(profile.predictions[i - 1].gain >= profile.predictions[i].gain);
    assert_int_equal(config_int(model->command.config, "batch_size"), 16);   // as it was
    assert_int_equal(config_int(model->command.config, "block_size"), 8);
    threads_free(training.threads);
    arena_free(model->arena);
    return gain;
}

static void a_larger_batch_shares_what_does_not_depend_on_it(void **state) {
    (void)state;
    double optimizer = gain_of_batch_64("adamw"), softmax = gain_of_batch_64("softmax");
    if (optimizer < 2.5 || optimizer > 3.01) fail_msg("only the optimizer: gain %g, 3 expected", optimizer);
    if (fabs(softmax) > 1e-9) fail_msg("only work for each token: gain %g, 0 expected", softmax);
}

static void two_threads_are_predicted_to_halve(void **state) {
    (void)state;
    Model *model = model_create();
    Profile profile = profile_of(model, 1);
    box_table_add(&profile.table, model->plan, 1);
    for (size_t b = 0; b < profile.table.count; b++)
        if (text_equal(profile.table.boxes[b].label, "softmax")) profile.table.boxes[b].seconds = 1e-3;
    profile.step_seconds = 3e-3;
    box_table_finish(&profile.table, profile.machine.read_bandwidth);
    Training training = {.threads = threads_create(1, false, model->command.diags)};
    assert_int_equal(model->target.cores, 2);
    profile_predict(&model->command, &training, &model->target, NULL, &profile);
    assert_true(fabs(find_prediction(&profile, "threads 2")->gain - 1) < 1e-6);   // an even number of pieces
    threads_free(training.threads);
    arena_free(model->arena);
}

// ---- the page

static Profile page_by_hand(Arena *arena) {
    static const struct {
        const char *label, *place;
        Form form;
        Cause cause;
        double seconds, flops, bytes, far_bytes;
    } rows[] = {
        {"product", "layer[0..3].u", FORM_PRODUCT, CAUSE_CONTRACTION, 4.1e-3, 1.6e9, 15.2e6, 8e6},
        {"product", "grad.h.{0..3}.mlp.c_proj.weight", FORM_PRODUCT, CAUSE_CONTRACTION, 4.2e-3, 2.2e9, 9e6, 3e6},
        {"softmax", "layer[0..3].p", FORM_ROW, CAUSE_POINTWISE, 0.4e-3, 1.7e6, 6.3e6, 0},
        {"layernorm backward", "layer[0..3].m", FORM_ROW, CAUSE_POINTWISE, 0.05e-3, 6e6, 9e6, 0},
        {"adamw", "h.{0..3}.mlp.c_fc.weight", FORM_MAP, CAUSE_MEMORY, 0.2e-3, 4e6, 7.3e6, 7.3e6},
        {"pack", "h.{0..3}.mlp.c_fc.weight", FORM_MAP, CAUSE_MEMORY, 0.01e-3, 0, 2e6, 2e6},
        {"adamw", "wpe.weight", FORM_MAP, CAUSE_MEMORY, 0.1e-3, 1e6, 1e6, 1e6},
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    Profile profile = {
        .model = "gpt2",
        .level = "all",
        .batch_size = 12,
        .block_size = 64,
        .accumulation = 1,
        .tokens = 768,
        .machine = {.model = "test", .cores = 2, .threads = 2, .fma_flops = 516e9, .read_bandwidth = 60e9},
        .formula_flops = 3.97e9,
        .product_flops = 3.8e9,
        .steps = 100,
        .step_seconds = 9.93e-3,
        .profiled_seconds = 9.96e-3,
        .table = {.arena = arena, .boxes = ARENA_ARRAY(arena, ProfileBox, ROWS), .count = ROWS},
        .imbalance_seconds = 0.6e-3,
        .barrier_seconds = 0.05e-3,
        .data_seconds = 0.08e-3,
        .evaluation_seconds = 1.2,
        .checkpoint_seconds = 0.017,
        .checkpoint_bytes = 9.6e6,
        .eval_interval = 250,
        .predictions = {{"batch_size 48", 37.2e-3, 3072, 0.067, "fewer, larger updates"},
                        {"block_size 128", 21e-3, 1536, -0.054, "more attention for each token"}},
        .prediction_count = 2};
    for (int i = 0; i < ROWS; i++)
        profile.table.boxes[i] = (ProfileBox){.label = rows[i].label, .place = rows[i].place, .form = rows[i].form,
                                              .cause = rows[i].cause, .steps = 4, .seconds = rows[i].seconds,
                                              .wait_seconds = i == 4 ? 0.5e-3 : 0, .flops = rows[i].flops,
                                              .bytes = rows[i].bytes, .far_bytes = rows[i].far_bytes};
    return profile;
}

// The same model on a GPU: 0.24 ms a step, in kernels of some microseconds.
static Profile gpu_page_by_hand(Arena *arena) {
    Profile profile = page_by_hand(arena);
    profile.gpu = "NVIDIA H200";
    profile.peak_kind = "tf32";
    profile.machine = (ProbeResult){.threads = 1, .fma_flops = 494.7e12, .read_bandwidth = 4.8e12};
    profile.step_seconds = 0.24e-3;
    profile.profiled_seconds = 0.26e-3;
    profile.window = 16;
    profile.imbalance_seconds = profile.data_seconds = 0;
    profile.launches = 95;
    profile.launch_seconds = 1.1e-6;
    profile.barrier_seconds = 95 * 1.1e-6;
    profile.host_seconds = 0.012e-3;
    profile.prediction_count = 0;
    for (size_t i = 0; i < profile.table.count; i++) {
        ProfileBox *box = &profile.table.boxes[i];
        box->seconds *= 0.015;
        box->tensor = i < 1 ? TENSOR_TF32 : TENSOR_NONE;
        box->peak = i < 1 ? 494.7e12 : 66.9e12;
    }
    return profile;
}

static void write_golden(const char *path, const char *text, Arena *arena) {
    Diags *diags = diags_create(arena);
    FileWriter *writer = file_writer_open(arena, path, diags);
    assert_non_null(writer);
    assert_true(file_writer_write(writer, text, strlen(text), diags));
    assert_true(file_writer_commit(writer, diags));
}

static void assert_page(const Profile *profile, const char *path, Arena *arena) {
    Text text = text_create(arena);
    profile_print(profile, false, &text);
    if (getenv("BLESS")) write_golden(path, text_string(&text), arena);
    const char *golden = file_read_all(arena, path, 1 << 20, NULL, diags_create(arena));
    assert_non_null(golden);
    assert_string_equal(text_string(&text), golden);
}

static void the_page(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Profile profile = page_by_hand(arena);
    assert_page(&profile, golden_path, arena);
    arena_free(arena);
}

static void the_page_of_a_gpu(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Profile profile = gpu_page_by_hand(arena);
    assert_page(&profile, gpu_golden_path, arena);
    Text record = text_create(arena);
    profile_record(&profile, &record);
    assert_non_null(strstr(text_string(&record), "\"gpu\": \"NVIDIA H200\""));
    arena_free(arena);
}

static void assert_fits(const Profile *profile, bool every_box) {
    Text text = text_create(profile->table.arena);
    profile_print(profile, every_box, &text);
    for (const char *line = text_string(&text); *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t length = strcspn(line, "\n");
        if (length > 100 || strstr(line, "nan") == line) fail_msg("%zu columns: %.*s", length, (int)length, line);
    }
}

static void a_slow_blas_is_no_secret(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Profile profile = page_by_hand(arena);
    Text plain = text_create(arena), forced = text_create(arena), record = text_create(arena);
    profile_print(&profile, false, &plain);
    assert_null(strstr(text_string(&plain), "OpenBLAS is"));
    profile.blas_forced = "forced by OPENBLAS_CORETYPE=Haswell";
    profile_print(&profile, false, &forced);
    assert_non_null(strstr(text_string(&forced), "note: OpenBLAS is forced by OPENBLAS_CORETYPE=Haswell\n"));
    profile_record(&profile, &record);
    assert_non_null(strstr(text_string(&record), "forced by OPENBLAS_CORETYPE=Haswell"));
    arena_free(arena);
}

static void every_line_fits(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Profile profile = page_by_hand(arena);
    assert_fits(&profile, true);
    Profile on_gpu = gpu_page_by_hand(arena);
    assert_fits(&on_gpu, true);
    profile.step_seconds *= 1e4;   // a large model, on a large machine, disturbed
    profile.profiled_seconds *= 1.2e4;
    profile.tokens *= 1e3;
    profile.accumulation = 40;
    profile.machine.fma_flops = 12345e9;
    profile.machine.threads = 128;
    profile.spread = 0.5;
    profile.blas_forced = "forced by OPENBLAS_CORETYPE=Haswell";
    profile.data_is_random = true;
    profile.checkpoint_seconds = 0;
    profile.prediction_count = 0;
    for (size_t i = 0; i < profile.table.count; i++) profile.table.boxes[i].seconds *= 1e4;
    assert_fits(&profile, true);
    profile.table.count = 0;       // nothing measured is no reason to divide by zero
    profile.product_flops = 0;
    assert_fits(&profile, false);
    arena_free(arena);
}

static json_t *parsed(const Text *text) {
    json_error_t error;
    json_t *value = json_loads(text_string(text), JSON_REJECT_DUPLICATES, &error);
    if (!value) fail_msg("line %d: %s", error.line, error.text);
    return value;
}

static void the_record_is_the_page_in_numbers(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Profile profile = page_by_hand(arena);
    Text text = text_create(arena);
    profile_record(&profile, &text);
    json_t *record = parsed(&text), *cause;
    const char *name;
    double shares = 0;
    json_object_foreach(json_object_get(record, "causes"), name, cause)
        shares += json_number_value(json_object_get(cause, "share"));
    assert_true(fabs(shares - 1) < 1e-6);
    assert_int_equal(json_array_size(json_object_get(record, "boxes")), profile.table.count);
    assert_int_equal(json_array_size(json_object_get(record, "predictions")), 2);
    assert_true(json_array_size(json_object_get(record, "why")) >= 5);
    double seconds = json_number_value(json_object_get(json_object_get(record, "step"), "seconds"));
    assert_true(fabs(seconds - 9.93e-3) < 1e-9);
    json_decref(record);
    arena_free(arena);
}

// ---- the timeline

static void the_timeline_never_overlaps(void **state) {
    (void)state;
    Model *model = model_create();
    Profile profile = profile_of(model, 2);
    ProfiledProgram profiled = profiled_program(&profile.table, model->plan, &model->program, 1);
    box_table_finish(&profile.table, profile.machine.read_bandwidth);
    Trace *trace = trace_by_hand(model);
    Timeline timeline = {.arena = model->arena, .threads = 2, .base = 990, .tick_seconds = 1.0 / 2.6e9};
    timeline_add_event(&timeline, "batch", "data", 0, 990, 1000);
    timeline_add_run(&timeline, &profiled, &profile.table, trace);
    timeline_add_event(&timeline, "training step 0", "step", -1, 990, trace->end);
    Text text = text_create(model->arena);
    timeline_print(&timeline, "sinter gpt2", &text);
    json_t *root = parsed(&text), *event;
    size_t i, slices = 0, pieces = 0;
    double ends[3] = {0};
    json_array_foreach(json_object_get(root, "traceEvents"), i, event) {
        if (strcmp(json_string_value(json_object_get(event, "ph")), "X") != 0) continue;
        int track = (int)json_integer_value(json_object_get(event, "tid"));
        double begin = json_number_value(json_object_get(event, "ts")),
               length = json_number_value(json_object_get(event, "dur"));
        assert_in_range(track, 0, 2);
        assert_true(begin >= ends[track] - 1e-9 && length >= 0);
        ends[track] = begin + length;
        slices++;
        pieces += json_object_get(json_object_get(event, "args"), "piece") != NULL;
        assert_true(*json_string_value(json_object_get(event, "name")));
    }
    size_t expected = 0;
    for (uint32_t s = 0; s < model->plan->step_count; s++) expected += model->plan->steps[s].cut.pieces;
    assert_int_equal(pieces, expected);
    assert_int_equal(slices, timeline.count);
    json_decref(root);
    trace_free(trace);
    arena_free(model->arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tick_has_its_box_or_wait),
        cmocka_unit_test(shares_add_up_to_the_step),
        cmocka_unit_test(causes_follow_from_form_and_speed),
        cmocka_unit_test(a_larger_batch_shares_what_does_not_depend_on_it),
        cmocka_unit_test(two_threads_are_predicted_to_halve),
        cmocka_unit_test(the_page),
        cmocka_unit_test(the_page_of_a_gpu),
        cmocka_unit_test(every_line_fits),
        cmocka_unit_test(a_slow_blas_is_no_secret),
        cmocka_unit_test(the_record_is_the_page_in_numbers),
        cmocka_unit_test(the_timeline_never_overlaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
