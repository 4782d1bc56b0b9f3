// sinter explain: the plan of a training step and why it is so. No code is made.
#include <stdio.h>

#include "driver/choices_file.h"
#include "driver/command.h"
#include "driver/compile.h"
#include "driver/draw/draw.h"
#include "driver/explain/explain.h"
#include "driver/svg.h"

// The step's plan at one level of fusion. plan: NULL with diagnostics. is_beside: one to compare with, without a
// budget.
static Explained plan_step(Command *command, const Target *target, FuseLevel level, Choices *choices, bool is_beside,
                           int *status) {
    StateTable states = {.arena = command->arena};
    Ledger *ledger = ledger_create(command->arena);
    Stages stages = {.arena = command->arena};
    CompileRequest request = {.fuse = level,
                              .target = target,
                              .choices = choices,
                              .without_budget = is_beside,
                              .observer = {.after = stages_add, .context = &stages, .verify = true, .limit = -1}};
    const Plan *plan = compile_plan(command->arena, command->spec, command->config, MODEL_STEP, &request, ledger,
                                    &states, command->diags);
    *status = request.least_budget ? EXIT_MEMORY : EXIT_USAGE;
    if (!choices_finish(choices, command->diags)) plan = NULL;
    if (plan) *status = EXIT_DONE;
    return (Explained){.level = fuse_name(level),
                       .plan = plan,
                       .ledger = ledger,
                       .stages = stages.stages,
                       .stage_count = stages.count};
}

// What --svg and --dot ask for. EXIT_DONE or EXIT_IO.
static int write_pictures(Command *command, const Explained *shown) {
    static const struct {
        const char *key;
        void (*draw)(const Plan *plan, const char *title, Text *out);
    } pictures[] = {{"svg", draw_svg}, {"dot", draw_dot}};
    const char *title =
        arena_format(command->arena, "a training step of %s, level %s", spec_name(command->spec), shown->level);
    for (int i = 0; i < 2; i++) {
        const char *path = config_string(command->config, pictures[i].key);
        if (!*path) continue;
        Text picture = text_create(command->arena);
        pictures[i].draw(shown->plan, title, &picture);
        if (!svg_write(path, &picture, command->diags)) return EXIT_IO;
        printf("%s: %u steps\n", path, shown->plan->step_count);
    }
    return EXIT_DONE;
}

int command_explain(Command *command) {
    // Only when it is asked for: what explain shows otherwise needs no device.
    int status = text_equal(config_string(command->config, "device"), "cuda") ? check_device(command) : EXIT_DONE;
    if (status != EXIT_DONE) return status;
    if (!check_dtype(command, command->gpu != NULL)) return EXIT_USAGE;
    status = configure_vocabulary(command);
    if (status != EXIT_DONE) return status;
    Target target = command_target(command);
    FuseLevel level = configured_fuse(command->config);
    Choices *choices;
    status = configured_choices(command->arena, command->config, command->diags, &choices);
    if (status != EXIT_DONE) return status;
    Explained shown = plan_step(command, &target, level, choices, false, &status), beside = {0};
    if (!shown.plan) return status;
    Text text = text_create(command->arena);
    const char *why = config_string(command->config, "why");
    if (*why) {
        if (!explain_why(&shown, why, &text, command->diags)) return EXIT_USAGE;
        fputs(text_string(&text), stdout);
    }
    bool draws = *config_string(command->config, "svg") || *config_string(command->config, "dot");
    if (draws) status = write_pictures(command, &shown);
    if (draws || *why) return status;
    if (level != FUSE_OP) {
        beside = plan_step(command, &target, FUSE_OP, NULL, true, &status);
        if (!beside.plan) return status;
    }
    explain_print(&shown, beside.plan ? &beside : NULL, &text);
    fputs(text_string(&text), stdout);
    const char *path = config_string(command->config, "choices_out");
    CompileRequest request = {
        .fuse = level, .target = &target, .choices = choices, .observer = {.verify = true, .limit = -1}};
    return *path ? write_choices(command, &request, path) : EXIT_DONE;
}
