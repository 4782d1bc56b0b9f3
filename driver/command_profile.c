// sinter profile: trains some steps and tells where their time went, why mfu is what it is, and what to do about it.
#include <stdio.h>

#include "driver/command.h"
#include "driver/profile/profile.h"
#include "runtime/weights.h"

// The files asked for, opened before anything is measured, so that a path that cannot be written costs no time.
typedef struct {
    FileWriter *trace, *json;
} Products;

static int open_products(Command *command, Products *products) {
    const char *trace = config_string(command->config, "trace"), *json = config_string(command->config, "json");
    if (*trace && !(products->trace = file_writer_open(command->arena, trace, command->diags))) return EXIT_IO;
    if (*json && !(products->json = file_writer_open(command->arena, json, command->diags))) return EXIT_IO;
    return EXIT_DONE;
}

static void abandon_products(Products *products) {
    if (products->trace) file_writer_abandon(products->trace);
    if (products->json) file_writer_abandon(products->json);
}

static bool write_product(FileWriter *writer, const Text *text, Diags *diags) {
    return file_writer_write(writer, text_string(text), text->length, diags) && file_writer_commit(writer, diags);
}

static int check_steps(Command *command) {
    int64_t steps = config_int(command->config, "steps");
    if (steps >= 0 && steps <= 1000000) return EXIT_DONE;
    diag_error(command->diags, config_find(command->config, "steps")->place,
               "steps = %lld: 1 to 1000000, or 0 for what fits some seconds", (long long)steps);
    return EXIT_USAGE;
}

// A configuration without its data is profiled with random tokens, and the page says so; a file that was named must be
// there.
static int open_tokens(Command *command, Training *training) {
    bool named = config_find(command->config, "train_bin")->assigned;
    if (!named && !file_exists(train_tokens_path(command))) {
        fprintf(command->echo, "note: no %s: random tokens\n", train_tokens_path(command));
        return EXIT_DONE;
    }
    bool evaluates = training->model.programs[MODEL_EVAL] && file_exists(validation_tokens_path(command));
    return training_open_tokens(command, training, evaluates);
}

static void describe(Command *command, const Training *training, Profile *profile) {
    const Config *config = command->config;
    const Plan *step = training->model.plans[MODEL_STEP], *micro = training->model.plans[MODEL_MICRO];
    *profile = (Profile){
        .model = spec_name(command->spec),
        .level = fuse_name(configured_fuse(config)),
        .batch_size = config_int(config, "batch_size"),
        .block_size = config_int(config, "block_size"),
        .accumulation = config_int(config, "gradient_accumulation_steps"),
        .tokens = (double)training_tokens(config),
        .formula_flops = model_flops_per_token(step, config) * (double)training_tokens(config),
        .blas_forced = command->gpu ? NULL : blas_forced(command->arena),
        .table = {.arena = command->arena},
        .eval_interval = config_int(config, "eval_interval"),
    };
    profile->product_flops = model_true_flops(step);
    if (micro) profile->product_flops += (double)(profile->accumulation - 1) * model_true_flops(micro);
}

static int set_up(Command *command, const Target *target, Training *training, Profile *profile, Choices **choices) {
    CompileRequest request = {.fuse = configured_fuse(command->config), .observer = {.verify = true, .limit = -1}};
    request.report.cache = configured_cache(command);
    bool evaluates = config_int(command->config, "eval_interval") > 0;
    int status = configured_choices(command->arena, command->config, command->diags, &request.choices);
    if (status == EXIT_DONE) status = training_compile(command, target, evaluates, &request, training);
    *choices = request.choices;
    if (status == EXIT_DONE) status = open_tokens(command, training);
    if (status != EXIT_DONE) return status;
    describe(command, training, profile);
    training->threads = threads_create(configured_threads(command->config), true, command->diags);
    if (!training->threads) return EXIT_IO;
    if (!command->gpu) probe_run(training->threads, false, &profile->machine);
    status = training_session(command, training);
    if (status != EXIT_DONE) return status;
    return weights_initialise(training->session, training->model.programs[MODEL_STEP],
                              (uint64_t)config_int(command->config, "seed"), command->diags);
}

static int write_products(Command *command, const Profile *profile, const Timeline *timeline, Products *products) {
    Text trace = text_create(command->arena), json = text_create(command->arena);
    if (products->trace) {
        timeline_print(timeline, arena_format(command->arena, "sinter %s", profile->model), &trace);
        if (!write_product(products->trace, &trace, command->diags)) return EXIT_IO;
        fprintf(command->echo, "wrote %s: open it in ui.perfetto.dev\n", config_string(command->config, "trace"));
    }
    if (products->json) {
        profile_record(profile, &json);
        if (!write_product(products->json, &json, command->diags)) return EXIT_IO;
    }
    return EXIT_DONE;
}

static int measure(Command *command, Training *training, Products *products) {
    Target target = command_target(command);
    Profile profile;
    Choices *choices = NULL;
    int status = set_up(command, &target, training, &profile, &choices);
    if (status != EXIT_DONE) return status;
    Timeline timeline = {.arena = command->arena};
    ProfileRequest request = {command, training, (int)config_int(command->config, "steps")};
    status = profile_measure(&request, &profile, products->trace ? &timeline : NULL);
    if (status != EXIT_DONE) return status;
    if (!command->gpu) {   // how long a kernel takes on a GPU that it does not fill has little to do with its work
        profile.machine.fma_flops = probe_peak(training->threads, profile.machine.fma_flops);
        profile_predict(command, training, &target, choices, &profile);
    }
    Text text = text_create(command->arena);
    profile_print(&profile, config_bool(command->config, "full"), &text);
    fputs(text_string(&text), stdout);
    return write_products(command, &profile, &timeline, products);
}

int command_profile(Command *command) {
    int status = check_device(command);
    if (status == EXIT_DONE) status = check_steps(command);
    if (status == EXIT_DONE) status = training_check_numbers(command);
    if (status == EXIT_DONE) status = configure_vocabulary(command);
    if (status != EXIT_DONE) return status;
    Products products = {0};
    Training training = {0};
    status = open_products(command, &products);
    if (status == EXIT_DONE) status = measure(command, &training, &products);
    abandon_products(&products);
    training_free(&training);
    return status;
}
