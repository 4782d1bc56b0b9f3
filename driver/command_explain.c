// sinter explain: the plan of a training step and why it is so. No code is made.
#include <stdio.h>

#include "driver/command.h"
#include "driver/compile.h"
#include "driver/explain.h"

// The step's plan at one level of fusion. plan: NULL with diagnostics.
static Explained plan_step(Command *command, const Target *target, FuseLevel level) {
    StateTable states = {.arena = command->arena};
    Ledger *ledger = ledger_create(command->arena);
    CompileRequest request = {.fuse = level, .target = target, .observer = {.verify = true, .limit = -1}};
    const Plan *plan = compile_plan(command->arena, command->spec, command->config, MODEL_STEP, &request, ledger,
                                    &states, command->diags);
    return (Explained){.level = fuse_name(level), .plan = plan, .ledger = ledger};
}

int command_explain(Command *command) {
    int status = configure_vocabulary(command);
    if (status != EXIT_DONE) return status;
    Target target = probed_target();
    FuseLevel level = configured_fuse(command->config);
    Explained shown = plan_step(command, &target, level), beside = {0};
    if (!shown.plan) return EXIT_USAGE;
    if (level != FUSE_OP) {
        beside = plan_step(command, &target, FUSE_OP);
        if (!beside.plan) return EXIT_USAGE;
    }
    Text text = text_create(command->arena);
    explain_print(&shown, beside.plan ? &beside : NULL, &text);
    fputs(text_string(&text), stdout);
    return EXIT_DONE;
}
