// The command line: finds the command, gives it its arguments, prints what was complained of, returns the exit code.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "driver/command.h"

typedef struct {
    const char *name;
    int (*run)(Command *command);
    void (*declare)(Config *config);
    bool wants_model;
    const char *usage, *sentence;
} CommandRow;

static const CommandRow commands[] = {
    {"train", command_train, declare_train_keys, true, "CONFIG... [--key=value]...",
     "compiles the model and trains it, with nanoGPT's keys and log"},
    {"sample", command_sample, declare_sample_keys, false, "--out_dir=FOLDER [--start=TEXT] [--key=value]...",
     "draws samples from a checkpoint, with nanoGPT's sample.py keys"},
    {"check", command_check, declare_train_keys, true, "CONFIG... [--fuse=none|op|all] [--full]",
     "compares values and gradients of the compiled step with the float64 reference"},
    {"lower", command_lower, declare_lower_keys, true,
     "CONFIG...|FILE.ir --emit=ast|graph|optimized|plan|ledger|tiles|llvm|asm|cuda|ptx [--target=sm_90a] "
     "[--passes=a,b] [--dump_dir=FOLDER]",
     "prints any stage of the compiler"},
    {"explain", command_explain, declare_explain_keys, true,
     "CONFIG... [--fuse=none|op|all] [--why=PLACE] [--svg=FILE] [--dot=FILE] [--choices_out=FILE]",
     "prints the boxes of a training step, what was refused and why, and what is kept for the backward part;\n"
     "                  with --why the story of one value, as layer[0].p or layer[*].p;"
     " with --svg and --dot a picture;\n"
     "                  with --choices_out what was decided, as choices that decide it again"},
    {"profile", command_profile, declare_profile_keys, true,
     "CONFIG... [--steps=N] [--trace=FILE.json] [--json=FILE] [--full] [--key=value]...",
     "trains some steps: where their time goes, why mfu is what it is, and what would be faster"},
    {"plot", command_plot, declare_plot_keys, false,
     "RUN... [--svg=FILE] [--smooth=ITERATIONS] [--x=iter|time] [--ascii]",
     "curves of loss, gradient norm and throughput, to the terminal or to an SVG; RUN: an out_dir or a metrics file"},
    {"prepare", command_prepare, declare_prepare_keys, false, "TEXT... -o FOLDER",
     "text to train.bin, val.bin and meta.json, character by character"},
    {"bench", command_bench, declare_bench_keys, true,
     "CONFIG... [--ablate] [--sweep=KEY:V1,V2,...] [--levels=none,op,all] [--json=F] [--report=F.html] | --replay=F",
     "times variants in turn, with intervals, errors and memory; writes a record that runs again, and a report"},
    {"info", command_info, declare_no_keys, false, "", "measures this machine"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const CommandRow *find_command(const char *name) {
    for (int i = 0; i < COMMANDS; i++) {
        if (text_equal(commands[i].name, name)) return &commands[i];
    }
    return NULL;
}

static void print_usage(FILE *file) {
    fputs("sinter: compiles a transformer written as mathematics into a fused trainer\n\n", file);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(file, "  sinter %-8s %s\n                  %s\n", commands[i].name, commands[i].usage,
                commands[i].sentence);
    fputs("\nCONFIG: .spec, .cfg and nanoGPT .py files, read left to right with the --key=value's; later wins.\n"
          "sinter COMMAND --help lists the command's keys and their defaults.\n"
          "Exit codes: 0 done, 2 usage or spec, 3 bad input file, 4 does not fit in memory, 5 I/O, 6 not finite,\n"
          "75 stopped by a signal after writing a checkpoint.\n",
          file);
}

static void print_value(const ConfigValue *value) {
    switch (value->type) {
    case CONFIG_INT: printf("%lld", (long long)value->integer); break;
    case CONFIG_FLOAT: printf("%g", value->number); break;
    case CONFIG_BOOL: fputs(value->integer ? "True" : "False", stdout); break;
    case CONFIG_STRING:
        fputs(text_equal(value->string, "\n") ? "'\\n'" : *value->string ? value->string : "''", stdout);
        break;
    }
}

static void print_help(const CommandRow *row, Arena *arena) {
    printf("sinter %s %s\n%s\n", row->name, row->usage, row->sentence);
    Config *config = config_create(arena);
    row->declare(config);
    for (size_t i = 0; i < config_count(config); i++) {
        const ConfigKey *key = config_at(config, i);
        printf("  --%s=", key->name);
        print_value(&key->value);
        for (int c = 0; key->choices && key->choices[c]; c++) printf("%s%s", c ? "|" : "   ", key->choices[c]);
        if (key->ignored) fputs("   (for models that have it; else accepted and ignored)", stdout);
        putchar('\n');
    }
}

// `-o FOLDER` is the short form of `--out=FOLDER`.
static int expand_short_options(int count, char **arguments, char **expanded, Arena *arena) {
    int kept = 0;
    for (int i = 0; i < count; i++) {
        bool folder_follows = text_equal(arguments[i], "-o") && i + 1 < count;
        expanded[kept++] = folder_follows ? arena_format(arena, "--out=%s", arguments[++i]) : arguments[i];
    }
    return kept;
}

static bool has_ir_file(int count, char **arguments) {
    for (int i = 0; i < count; i++) {
        size_t length = strlen(arguments[i]);
        if (length > 3 && text_equal(arguments[i] + length - 3, ".ir")) return true;
    }
    return false;
}

static int run_command(const CommandRow *row, int count, char **arguments, Command *command) {
    char **expanded = ARENA_ARRAY(command->arena, char *, (size_t)count + 1);
    count = expand_short_options(count, arguments, expanded, command->arena);
    bool wants_model = row->wants_model && !(row->run == command_lower && has_ir_file(count, expanded));
    int status = arguments_read(command, count, expanded, row->declare, wants_model);
    if (status == EXIT_DONE && row->wants_model && row->run != command_lower && command->file_count > 0) {
        diag_error(command->diags, (Place){0}, "'%s': not a .spec, .cfg or .py file", command->files[0]);
        return EXIT_USAGE;
    }
    return status == EXIT_DONE ? row->run(command) : status;
}

static int guarded_run(const CommandRow *row, int count, char **arguments, Command *command) {
    MemoryGuard guard;
    memory_guard_push(&guard);
    if (setjmp(guard.jump)) {
        fprintf(stderr, "sinter: out of memory (%zu bytes wanted)\n", guard.wanted);
        return EXIT_MEMORY;
    }
    int status = run_command(row, count, arguments, command);
    Text complaints = text_create(command->arena);
    diags_render(command->diags, &complaints);
    fflush(stdout);
    fputs(text_string(&complaints), stderr);
    memory_guard_pop();
    return status;
}

int main(int count, char **arguments) {
    signal(SIGXFSZ, SIG_IGN); // a file larger than `ulimit -f` is an error like a full disk
    if (count < 2 || text_equal(arguments[1], "--help") || text_equal(arguments[1], "-h")) {
        print_usage(count < 2 ? stderr : stdout);
        return count < 2 ? EXIT_USAGE : EXIT_DONE;
    }
    const CommandRow *row = find_command(arguments[1]);
    if (!row) {
        fprintf(stderr, "sinter: no command '%s'\n\n", arguments[1]);
        print_usage(stderr);
        return EXIT_USAGE;
    }
    Arena *arena = arena_create();
    for (int i = 2; i < count; i++) {
        if (!text_equal(arguments[i], "--help") && !text_equal(arguments[i], "-h")) continue;
        print_help(row, arena);
        arena_free(arena);
        return EXIT_DONE;
    }
    bool prints_product = row->run == command_lower || row->run == command_explain || row->run == command_plot ||
                          row->run == command_profile;
    Command command = {.arena = arena,
                       .diags = diags_create(arena),
                       .config = config_create(arena),
                       .echo = prints_product ? stderr : stdout};
    int status = guarded_run(row, count - 2, arguments + 2, &command);
    if (command.echo != stdout && command.echo != stderr) fclose(command.echo);
    arena_free(arena);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("sinter: cannot write to standard output\n", stderr);
        if (status == EXIT_DONE) status = EXIT_IO;
    }
    return status;
}
