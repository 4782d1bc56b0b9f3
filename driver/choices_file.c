// --choices=FILE (see command.h) and --choices_out=FILE (see choices_file.h).
#include "driver/choices_file.h"

#include "base/file.h"

enum { LARGEST_CHOICES = 1 << 20 };

int configured_choices(Arena *arena, const Config *config, Diags *diags, Choices **choices) {
    const ConfigKey *key = config_find(config, "choices");
    *choices = NULL;
    if (!key || !*key->value.string) return EXIT_DONE;
    const char *source = file_read_text(arena, key->value.string, LARGEST_CHOICES, diags);
    if (!source) return EXIT_BAD_FILE;
    *choices = choices_create(arena);
    return choices_add(*choices, key->value.string, source, diags) ? EXIT_DONE : EXIT_USAGE;
}

// Plans of the programs that training compiles, in its order, over one set of states: decisions of the later ones
// depend on what the first one decided for them.
static bool write_programs(Command *command, CompileRequest *request, Text *out) {
    static const char *const names[MODEL_PROGRAMS] = {"step", "micro", "eval", "logits"};
    StateTable states = {.arena = command->arena};
    choices_reset(request->choices);
    for (int program = MODEL_STEP; program <= MODEL_EVAL; program++) {
        if (program == MODEL_MICRO && config_int(command->config, "gradient_accumulation_steps") == 1) continue;
        Ledger *ledger = ledger_create(command->arena);
        const Plan *plan = compile_plan(command->arena, command->spec, command->config, (ModelProgram)program, request,
                                        ledger, &states, command->diags);
        if (!plan) return false;
        choices_write(plan, ledger, names[program], out);
    }
    return choices_finish(request->choices, command->diags);
}

int write_choices(Command *command, CompileRequest *request, const char *path) {
    Text text = text_create(command->arena);
    text_append(&text, "# What sinter decided for %s at level %s, and what it was told before.\n", command->spec_file,
                fuse_name(request->fuse));
    choices_print(request->choices, &text);
    if (!write_programs(command, request, &text)) return EXIT_USAGE;
    FileWriter *writer = file_writer_open(command->arena, path, command->diags);
    if (!writer) return EXIT_IO;
    bool done = file_writer_write(writer, text_string(&text), text.length, command->diags) &&
                file_writer_commit(writer, command->diags);
    if (!done) file_writer_abandon(writer);
    return done ? EXIT_DONE : EXIT_IO;
}
