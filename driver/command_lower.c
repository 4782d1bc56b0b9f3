// sinter lower: any stage of the compiler as text; graph text and plan text can be the input again.
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "driver/command.h"
#include "driver/compile.h"
#include "driver/gpu.h"
#include "driver/report.h"

enum { LARGEST_IR = 64 << 20 };

typedef struct {
    Command *command;
    const char *folder;   // --dump_dir, NULL: none
    int number;
    bool failed;
} Dump;

static bool write_text(Command *command, const char *path, const char *text) {
    FileWriter *writer = file_writer_open(command->arena, path, command->diags);
    if (!writer) return false;
    if (!file_writer_write(writer, text, strlen(text), command->diags)) {
        file_writer_abandon(writer);
        return false;
    }
    return file_writer_commit(writer, command->diags);
}

// D/00-input.ir, D/01-differentiate.ir, ...: each can be given to `sinter lower` again.
static void dump_stage(Dump *dump, const char *name, const Graph *graph, const Plan *plan) {
    if (!dump->folder || dump->failed) return;
    Text text = text_create(dump->command->arena);
    if (plan) {
        plan_print(plan, &text);
    } else {
        graph_print(graph, &text);
    }
    const char *path = arena_format(dump->command->arena, "%s/%02d-%s.ir", dump->folder, dump->number++, name);
    dump->failed = !write_text(dump->command, path, text_string(&text));
}

static void dump_after(void *context, const Pass *pass, const Graph *graph, const Plan *plan, double seconds) {
    (void)seconds;
    dump_stage(context, pass->name, graph, plan);
}

static ModelProgram wanted_program(const Config *config) {
    const char *name = config_string(config, "program");
    if (text_equal(name, "micro")) return MODEL_MICRO;
    if (text_equal(name, "eval")) return MODEL_EVAL;
    return text_equal(name, "logits") ? MODEL_LOGITS : MODEL_STEP;
}

// What a file holds shows in its first word, after comments: `graph` or `plan`.
static bool is_plan_text(const char *source) {
    while (*source == '#' || *source == '\n' || *source == ' ') {
        if (*source == '#') source += strcspn(source, "\n");
        if (*source) source++;
    }
    return strncmp(source, "plan", 4) == 0;
}

static bool read_file(Command *command, Graph **graph, Plan **plan) {
    const char *path = command->files[0];
    const char *source = file_read_text(command->arena, path, LARGEST_IR, command->diags);
    if (!source) return false;
    if (is_plan_text(source)) return (*plan = plan_parse(command->arena, path, source, command->diags)) != NULL;
    return (*graph = graph_parse(command->arena, path, source, command->diags)) != NULL;
}

static bool read_input(Command *command, Graph **graph, Plan **plan) {
    if (command->file_count == 1) return read_file(command, graph, plan);
    static const SpecUse uses[MODEL_PROGRAMS] = {SPEC_LOSS, SPEC_LOSS, SPEC_EVAL, SPEC_LOGITS};
    *graph = spec_lower(command->arena, command->spec, command->config, uses[wanted_program(command->config)],
                        command->diags);
    return *graph != NULL;
}

static const char *all_graph_passes(Arena *arena, ProgramKind program) {
    Text names = text_create(arena);
    for (size_t i = 0; i < pass_count; i++) {
        PassKind kind = pass_list[i].kind;
        if (kind == PASS_REWRITE || (kind == PASS_EXTEND && program != PROGRAM_PLAIN))
            text_append(&names, "%s%s", names.length ? "," : "", pass_list[i].name);
    }
    return text_string(&names);
}

// --emit=tiles|llvm|asm: the distinct kernels of the plan.
static int emit_kernels(Command *command, const Plan *plan, const Target *target, const char *stage) {
    Text text = text_create(command->arena);
    CodegenReport report = {0};
    if (text_equal(stage, "tiles")) report.tiles = &text;
    if (text_equal(stage, "llvm")) report.llvm = &text;
    if (text_equal(stage, "asm")) report.assembly = &text;
    const char *name = config_string(command->config, "program");
    Program *program = NULL;
    if (!codegen_cpu(&plan, &name, 1, target, &report, &program, command->diags)) return EXIT_USAGE;
    program_free(program);
    fputs(text_string(&text), stdout);
    return EXIT_DONE;
}

static bool is_gpu_text(const char *stage) {
    return text_equal(stage, "cuda") || text_equal(stage, "ptx") || text_equal(stage, "sass");
}

// --emit=cuda|ptx|sass: what all kernels share, and the distinct kernels of the plan.
static int emit_for_gpu(Command *command, const Plan *plan, const Target *target, const char *stage) {
    Text text = text_create(command->arena);
    GpuText what = text_equal(stage, "ptx") ? GPU_PTX : text_equal(stage, "sass") ? GPU_SASS : GPU_SOURCE;
    int status =
        gpu_emit(command->arena, plan, config_string(command->config, "program"), target, what, &text, command->diags);
    fputs(text_string(&text), stdout);
    return status;
}

// --target: this machine, a GPU by the name of its architecture, or a file that holds a Target. CUDA is for a GPU.
static bool configured_target(Command *command, Target *target) {
    const char *name = config_string(command->config, "target");
    bool host = text_equal(name, "host");
    *target = probed_target();
    if (host && !is_gpu_text(config_string(command->config, "emit"))) return true;
    if (target_of_gpu(host ? "sm_90a" : name, target)) return true;
    const char *source = NULL;
    if (strchr(name, '/') || strchr(name, '.'))
        source = file_read_all(command->arena, name, 1 << 20, NULL, command->diags);
    if (source) return target_parse(name, source, target, command->diags);
    diag_error(command->diags, config_find(command->config, "target")->place,
               "'%s' is no target: host, one of %s, or a file with a target in it (its path has a / or a .)", name,
               target_known_gpus);
    return false;
}

static int lower(Command *command, const Target *target, Choices *choices) {
    const Config *config = command->config;
    const char *stage = config_string(config, "emit"), *passes = config_string(config, "passes");
    const char *folder = config_string(config, "dump_dir");
    Dump dump = {.command = command, .folder = *folder ? folder : NULL};
    if (dump.folder && !file_make_directories(dump.folder, command->diags)) return EXIT_IO;
    Graph *graph = NULL;
    Plan *plan = NULL;
    if (!read_input(command, &graph, &plan)) return EXIT_USAGE;
    dump_stage(&dump, "input", graph, plan);

    StateTable states = {.arena = command->arena};
    ModelProgram program = wanted_program(config);
    PassContext context = {
        .arena = command->arena,
        .diags = command->diags,
        .ledger = ledger_create(command->arena),
        .target = target,
        .fuse = configured_fuse(config),
        .optimizer = optimizer_settings(config),
        .states = &states,
        .program = program == MODEL_STEP ? PROGRAM_STEP : program == MODEL_MICRO ? PROGRAM_MICRO : PROGRAM_PLAIN,
        .choices = choices,
        .tensor = configured_tensor(config),
        .persistent = config_bool(config, "persistent"),
    };
    if (context.program != PROGRAM_PLAIN && !configured_budget(config, command->diags, &context.activation_budget))
        return EXIT_USAGE;
    choices_begin(choices, config_string(config, "program"));
    PassObserver observer = {
        .after = dump_after, .context = &dump, .verify = true, .limit = (int)config_int(config, "pass_limit")};
    const char *names = *passes ? passes : plan ? "" : NULL;   // a plan is taken as it is, unless passes are named
    if (!names && text_equal(stage, "graph")) names = "";
    if (!names && text_equal(stage, "optimized")) names = all_graph_passes(command->arena, context.program);
    if (!names || *names) {
        if (!passes_run(&graph, &plan, names, &context, &observer))
            return context.least_budget ? EXIT_MEMORY : EXIT_USAGE;
        // Some passes alone do not meet every choice.
        if (!names && !choices_finish(choices, command->diags)) return EXIT_USAGE;
    }
    if (dump.failed) return EXIT_IO;
    if (plan && is_gpu_text(stage)) return emit_for_gpu(command, plan, target, stage);
    if (plan && (text_equal(stage, "tiles") || text_equal(stage, "llvm") || text_equal(stage, "asm")))
        return emit_kernels(command, plan, target, stage);
    Text text = text_create(command->arena);
    if (text_equal(stage, "ledger")) {
        ledger_print(context.ledger, &text);
    } else if (plan) {
        plan_print(plan, &text);
    } else {
        graph_print(graph, &text);
    }
    fputs(text_string(&text), stdout);
    return EXIT_DONE;
}

int command_lower(Command *command) {
    if (command->file_count > (command->spec ? 0 : 1)) {
        diag_error(command->diags, (Place){0}, "lower takes one model or one .ir file");
        return EXIT_USAGE;
    }
    int status = command->spec ? configure_vocabulary(command) : EXIT_DONE;
    if (status != EXIT_DONE) return status;
    if (text_equal(config_string(command->config, "emit"), "ast")) {
        if (!command->spec) {
            diag_error(command->diags, (Place){0}, "--emit=ast needs a spec");
            return EXIT_USAGE;
        }
        Text text = text_create(command->arena);
        spec_print(command->spec, &text);
        fputs(text_string(&text), stdout);
        return EXIT_DONE;
    }
    Choices *choices;
    status = configured_choices(command->arena, command->config, command->diags, &choices);
    if (status != EXIT_DONE) return status;
    Target target;
    if (!configured_target(command, &target) || !check_dtype(command, target_is_gpu(&target))) return EXIT_USAGE;
    return lower(command, &target, choices);
}
