// Compiling the variants of a bench: see lanes.h.
#include <stdio.h>

#include "driver/bench/lanes.h"
#include "driver/draw/draw.h"

const char *effective_choices(Command *command, const Variant *variant) {
    const char *source = variant->choices;
    if (!*source) return source;
    Arena *arena = command->arena;
    Choices *choices = choices_create(arena);
    if (!choices_add(choices, "choices of the bench", source, command->diags)) return NULL;
    Target target = command_target(command);
    CompileRequest request = {.observer = {.limit = -1}, .fuse = variant->fuse, .target = &target, .choices = choices};
    StateTable states = {.arena = arena};
    choices_reset(choices);
    if (!compile_plan(arena, command->spec, command->config, MODEL_STEP, &request, ledger_create(arena), &states,
                      command->diags))
        return NULL;
    Text kept = text_create(arena);
    for (size_t i = 0; i < choices_count(choices); i++)
        if (choices_at(choices, i)->followed > 0) text_append(&kept, "%s\n", choices_at(choices, i)->text);
    return text_string(&kept);
}

int lane_compile_as(Command *command, const Variant *variant, CompileRequest *request, Training *training) {
    Target target = command_target(command);
    *request = (CompileRequest){.observer = {.verify = true, .limit = -1}, .fuse = variant->fuse};
    if (*variant->choices) {
        request->choices = choices_create(command->arena);
        if (!choices_add(request->choices, variant->name, variant->choices, command->diags)) return EXIT_USAGE;
    }
    return training_compile(command, &target, false, request, training);
}

static int compile_lane(BenchRun *run, Lane *lane, Variant *variant) {
    lane->variant = variant;
    lane->command = *run->command;
    if (!variant->on_gpu) lane->command.gpu = NULL;
    lane->command.config = bench_config(run->command, variant);
    if (!lane->command.config) return EXIT_USAGE;
    int status = training_check_numbers(&lane->command);
    if (status == EXIT_DONE)
        status = lane_compile_as(&lane->command, variant, &lane->request, &lane->training);
    if (status == EXIT_DONE) status = training_open_tokens(&lane->command, &lane->training, false);
    return status;
}

// What is known once a variant is compiled.
static void describe(BenchRun *run, Lane *lane) {
    Variant *variant = lane->variant;
    const Config *config = lane->command.config;
    const CompiledModel *model = &lane->training.model;
    const Plan *step = model->plans[MODEL_STEP], *micro = model->plans[MODEL_MICRO];
    double micros = (double)(config_int(config, "gradient_accumulation_steps") - 1);
    variant->tokens = training_tokens(config);
    variant->parameters = model_counted_parameters(step);
    variant->formula_flops = model_flops_per_token(step, config) * (double)variant->tokens;
    variant->product_flops = model_true_flops(step) + (micro ? micros * model_true_flops(micro) : 0);
    variant->model_bytes = bench_model_bytes(step) + (micro ? micros * bench_model_bytes(micro) : 0);
    variant->kernels = lane->request.report.kernels;
    variant->distinct_kernels = lane->request.report.distinct_kernels;
    variant->compile_seconds = model->seconds;
    bench_plan_figures(run->command->arena, step, variant);
    if (variant != bench_main(run->bench)) return;
    Text drawing = text_create(run->command->arena);
    draw_svg(step, arena_format(drawing.arena, "%s, %s", run->bench->model, variant->name), &drawing);
    variant->drawing = text_string(&drawing);
}

// Compiles the variants from `first` on.
static int compile_variants(BenchRun *run, size_t first) {
    Bench *bench = run->bench;
    Lane *lanes = ARENA_ARRAY(run->command->arena, Lane, bench->variant_count);
    for (size_t i = 0; i < first; i++) {
        lanes[i] = run->lanes[i];
        lanes[i].variant = &bench->variants[i]; // the list may have moved as it grew
    }
    run->lanes = lanes;
    for (size_t i = first; i < bench->variant_count; i++) {
        run->lane_count = i + 1;
        int status = compile_lane(run, &lanes[i], &bench->variants[i]);
        if (status != EXIT_DONE) return status;
        describe(run, &lanes[i]);
    }
    return EXIT_DONE;
}

// Keeps of the rows from `first` on those that change something, with the lines that do.
static int keep_effective(BenchRun *run, size_t first) {
    Bench *bench = run->bench;
    size_t kept = first;
    for (size_t i = first; i < bench->variant_count; i++) {
        Variant variant = bench->variants[i];
        variant.choices = effective_choices(run->command, &variant);
        if (!variant.choices) return EXIT_USAGE;
        if (*variant.choices)
            bench->variants[kept++] = variant;
        else
            printf("bench: '%s' changes nothing and is left out\n", variant.name);
    }
    bench->variant_count = kept;
    return EXIT_DONE;
}

static int add_ablation(BenchRun *run) {
    Bench *bench = run->bench;
    const Lane *all = NULL;
    for (size_t i = 0; i < run->lane_count; i++)
        if (run->lanes[i].variant == bench_main(bench)) all = &run->lanes[i];
    MadeKind *kinds;
    size_t levels = bench->variant_count;
    size_t count = choices_list_made(run->command->arena, all->training.model.ledger, &kinds);
    bench_add_ablation(run->command->arena, bench, kinds, count);
    int status = keep_effective(run, levels);
    if (status != EXIT_DONE) return status;
    printf("bench: %zu kinds of decisions: compiling %zu variants\n", count, bench->variant_count);
    fflush(stdout);
    return compile_variants(run, levels);
}

int lanes_compile(BenchRun *run) {
    int status = compile_variants(run, 0);
    return status == EXIT_DONE && run->bench->ablates && !run->replays ? add_ablation(run) : status;
}
