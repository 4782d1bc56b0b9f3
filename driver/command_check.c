// sinter check: one training step of the compiled program against the float64 reference, on random weights and tokens.
#include <stdio.h>

#include "driver/check.h"
#include "driver/report.h"
#include "driver/training.h"

static int report(Command *command, const char *level, int threads, const CheckErrors *errors) {
    const WorstError *value = &errors->value, *gradient = &errors->gradient, *update = &errors->update;
    printf("check: %s, level %s, %d threads: worst value error %.2e (%s), worst gradient error %.2e (%s), "
           "worst update error %.2e (%s): %s\n",
           spec_name(command->spec), level, threads, value->error, value->name, gradient->error, gradient->name,
           update->error, update->name, errors->passed ? "passed" : "FAILED");
    return errors->passed ? EXIT_DONE : 1;
}

static int run(Command *command, Training *training) {
    Target target = command_target(command);
    PassTimes times = {0};
    CompileRequest request = {.observer = report_observer(&times), .fuse = configured_fuse(command->config)};
    request.report.cache = configured_cache(command);
    int status = configured_choices(command->arena, command->config, command->diags, &request.choices);
    if (status != EXIT_DONE) return status;
    // Sizes may be capped; then some decisions are not there.
    if (!config_bool(command->config, "full")) choices_be_lenient(request.choices);
    status = training_compile(command, &target, false, &request, training);
    if (status != EXIT_DONE) return status;
    training->threads = threads_create(configured_threads(command->config), true, command->diags);
    if (!training->threads) return EXIT_IO;
    if ((status = training_session(command, training)) != EXIT_DONE) return status;
    CheckReference *reference = check_reference(command, &target);
    if (!reference) return EXIT_USAGE;
    CheckErrors errors;
    status = check_compare(reference, &training->model, training->session, &errors, command->diags);
    check_reference_free(reference);
    if (status != EXIT_DONE) return status;
    return report(command, fuse_name(request.fuse), threads_count(training->threads), &errors);
}

int command_check(Command *command) {
    int status = check_device(command);
    if (status != EXIT_DONE) return status;
    config_assign(command->config, "gradient_accumulation_steps", "1", (Place){0}, command->diags);
    if (!config_bool(command->config, "full")) check_cap_sizes(command, stdout);
    Training training = {0};
    status = run(command, &training);
    training_free(&training);
    return status;
}
