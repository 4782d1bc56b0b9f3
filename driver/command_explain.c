// sinter explain: the plan of a training step and why it is so. No code is made.
#include <stdio.h>

#include "driver/choices_file.h"
#include "driver/command.h"
#include "driver/compile.h"
#include "driver/explain.h"

typedef struct {
    Arena *arena;
    Stage *stages;
    size_t count, capacity;
} Stages;

static void add_stage(void *context, const Pass *pass, const Graph *graph, const Plan *plan, double seconds) {
    (void)seconds;
    Stages *stages = context;
    if (plan) return;
    stages->stages = arena_grow(stages->arena, stages->stages, &stages->capacity, stages->count + 1, sizeof(Stage));
    stages->stages[stages->count++] = (Stage){pass->name, pass->sentence, graph};
}

// The step's plan at one level of fusion. plan: NULL with diagnostics.
static Explained plan_step(Command *command, const Target *target, FuseLevel level, Choices *choices) {
    StateTable states = {.arena = command->arena};
    Ledger *ledger = ledger_create(command->arena);
    Stages stages = {.arena = command->arena};
    CompileRequest request = {.fuse = level,
                              .target = target,
                              .choices = choices,
                              .observer = {.after = add_stage, .context = &stages, .verify = true, .limit = -1}};
    const Plan *plan = compile_plan(command->arena, command->spec, command->config, MODEL_STEP, &request, ledger,
                                    &states, command->diags);
    if (!choices_finish(choices, command->diags)) plan = NULL;
    return (Explained){.level = fuse_name(level),
                       .plan = plan,
                       .ledger = ledger,
                       .stages = stages.stages,
                       .stage_count = stages.count};
}

int command_explain(Command *command) {
    int status = configure_vocabulary(command);
    if (status != EXIT_DONE) return status;
    Target target = probed_target();
    FuseLevel level = configured_fuse(command->config);
    Choices *choices;
    status = configured_choices(command->arena, command->config, command->diags, &choices);
    if (status != EXIT_DONE) return status;
    Explained shown = plan_step(command, &target, level, choices), beside = {0};
    if (!shown.plan) return EXIT_USAGE;
    Text text = text_create(command->arena);
    const char *why = config_string(command->config, "why");
    if (*why) {
        if (!explain_why(&shown, why, &text, command->diags)) return EXIT_USAGE;
        fputs(text_string(&text), stdout);
        return EXIT_DONE;
    }
    if (level != FUSE_OP) {
        beside = plan_step(command, &target, FUSE_OP, NULL);
        if (!beside.plan) return EXIT_USAGE;
    }
    explain_print(&shown, beside.plan ? &beside : NULL, &text);
    fputs(text_string(&text), stdout);
    const char *path = config_string(command->config, "choices_out");
    CompileRequest request = {
        .fuse = level, .target = &target, .choices = choices, .observer = {.verify = true, .limit = -1}};
    return *path ? write_choices(command, &request, path) : EXIT_DONE;
}
