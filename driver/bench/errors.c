// Every variant of a bench beside one float64 reference: see check.h.
//
// Where a reference of the configured sizes takes seconds, the very programs that were timed are compared. Else every
// variant is compiled once more at sizes as of `sinter check`.
#include "driver/bench/lanes.h"

// Flops of products in a step that a reference may have.
static const double affordable_flops = 6e9;

// Whether the reference is affordable at the configured sizes; then the compiled programs themselves are compared.
static bool check_is_affordable(const BenchRun *run) {
    for (size_t i = 0; i < run->lane_count; i++) {
        const Lane *lane = &run->lanes[i];
        if (lane->variant->product_flops > affordable_flops) return false;
        if (config_int(lane->command.config, "gradient_accumulation_steps") > 1) return false;
    }
    return true;
}

static int check_small(BenchRun *run, Lane *lane, const CheckReference *reference, const Command *shape) {
    Command own = *shape, *small = &own;
    own.gpu = lane->command.gpu;
    Training training = {.threads = run->threads};
    CompileRequest request;
    Variant variant = *lane->variant;
    variant.choices = effective_choices(small, &variant);
    if (!variant.choices) return EXIT_USAGE;
    int status = lane_compile_as(small, &variant, &request, &training);
    if (status == EXIT_DONE) status = training_session(small, &training);
    if (status == EXIT_DONE)
        status = check_compare(reference, &training.model, training.session, &lane->variant->errors, small->diags);
    training.threads = NULL; // the bench's own
    training_free(&training);
    return status;
}

static int check_lane(BenchRun *run, Lane *lane, const CheckReference *reference, Command *shape, bool full) {
    if (!full) return check_small(run, lane, reference, shape);
    int status = lane->training.session ? EXIT_DONE : lane_open(run, lane);
    if (status != EXIT_DONE) return status;
    status = check_compare(reference, &lane->training.model, lane->training.session, &lane->variant->errors,
                           run->command->diags);
    lane_close(lane); // its states are the check's now
    return status;
}

// The lanes from `first` on that share its config.
static int check_setting(BenchRun *run, size_t first, bool full) {
    Lane *lane = &run->lanes[first];
    Command shape = lane->command;
    Target target = command_target(&shape);
    if (!full) {
        shape.config = bench_config(run->command, lane->variant);
        config_assign(shape.config, "gradient_accumulation_steps", "1", (Place){0}, shape.diags);
        check_cap_sizes(&shape, NULL);
    }
    CheckReference *reference = check_reference(&shape, &target);
    if (!reference) return EXIT_USAGE;
    int status = EXIT_DONE;
    for (size_t i = first; i < run->lane_count && status == EXIT_DONE; i++) {
        const char *value = run->lanes[i].variant->value;
        if (value == lane->variant->value || (value && lane->variant->value && text_equal(value, lane->variant->value)))
            status = check_lane(run, &run->lanes[i], reference, &shape, full);
    }
    check_reference_free(reference);
    return status;
}

int lanes_find_errors(BenchRun *run) {
    bool full = check_is_affordable(run);
    run->bench->error_shape = full ? "as configured" : "small";
    for (size_t i = 0; i < run->lane_count; i++) {
        if (run->lanes[i].variant->errors.value.name) continue;
        int status = check_setting(run, i, full);
        if (status != EXIT_DONE) return status;
    }
    return EXIT_DONE;
}
