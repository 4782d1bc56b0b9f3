// --tune=on|all: choices that are faster on this machine, found once and remembered.
//
//     tune: strand 24 groups 2: 9.81 ms against 10.3 ms (-4.8 %, -5.1 .. -4.2): kept, changes bits
//     tune: ...
//     tuned: 9.8 ms against 10.3 ms of the model's own choice (-4.9 %, interval -5.2 .. -4.1 %), with other bits
//     tune: stored in /home/me/.cache/sinter/tune/0123456789abcdef.choices
//
// Nothing of it touches the training: lanes have sessions, random states and places in the data of their own, and what
// comes out is a text of choices, as --choices=FILE could give.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "codegen/codegen.h"
#include "driver/gpu.h"
#include "driver/tune/tune.h"
#include "runtime/interrupt.h"
#include "runtime/probe.h"

enum { LARGEST_CHOICES = 4 << 20 };

typedef struct {
    Command *command;
    const Target *target;
    FuseLevel fuse;
    bool keeps_bits;
    const char *base_file, *base; // --choices=FILE; "" none
    const char *key, *path;       // where it is remembered; NULL path: nowhere
} Tuning;

static double budget(const Command *command) {
    return config_float(command->config, "tune_seconds");
}

static void say(const Tuning *tuning, const char *line) {
    fprintf(tuning->command->echo, "%s\n", line);
    fflush(tuning->command->echo);
}

// ---- what the best choices depend on

static bool is_shape_key(const ConfigKey *key) {
    static const char *const names[] = {"batch_size", "block_size", "vocab_size", "gradient_accumulation_steps",
                                        "grad_clip",  "dtype",      "tf32",       "activation_budget",
                                        "persistent"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (text_equal(names[i], key->name)) return true;
    return key->from_spec;
}

// Facts of the machine only: what is measured is never the same twice.
static const char *key_of(const Tuning *tuning) {
    Command *command = tuning->command;
    const Target *target = tuning->target;
    ProbeResult probe;
    probe_describe(&probe);
    Text key = text_create(command->arena);
    text_append(&key, "sinter %s, llvm %s, blas %s\n", SINTER_VERSION, codegen_llvm_version(), codegen_blas_version());
    text_append(&key, "%s, %s %s, %d cores, %d threads, vectors %d x %d, caches %.0f %.0f %.0f\n", probe.model,
                target->triple, target->cpu, target->cores, configured_threads(command->config),
                target->vector_registers, target->vector_bytes, target->l1_bytes, target->l2_bytes, target->l3_bytes);
    if (command->gpu)
        text_append(&key, "%s, %s\n", gpu_name(command->gpu), gpu_libraries(command->gpu, command->arena));
    text_append(&key, "level %s, %s\n", fuse_name(tuning->fuse), tuning->keeps_bits ? "on" : "all");
    for (size_t i = 0; i < config_count(command->config); i++) {
        const ConfigKey *shape = config_at(command->config, i);
        if (!is_shape_key(shape)) continue;
        text_append(&key, "%s = ", shape->name);
        config_literal(&key, &shape->value);
        text_append(&key, "\n");
    }
    text_append_bytes(&key, command->spec_source, strlen(command->spec_source));
    text_append(&key, "\n# choices\n");
    text_append_bytes(&key, tuning->base, strlen(tuning->base));
    return text_string(&key);
}

// ---- an earlier run's

// How the second line of a stored text begins; its third one: seconds, or inf when all was tried.
static const char tuned_mark[] = "tuned: ", untuned_mark[] = "untuned: ";
static const char searched_mark[] = "# searched, in seconds: ";

static const char *remembered(const Tuning *tuning) {
    Arena *arena = tuning->command->arena;
    const char *note;
    if (!tuning->path) return NULL;
    const char *choices = tune_load(arena, tuning->path, tuning->key, &note);
    if (choices && !tune_choices_hold(tuning->command, tuning->target, tuning->fuse, tuning->path, choices)) {
        note = arena_format(arena, "%s is of another compiler", tuning->path);
        choices = NULL;
    }
    if (note) say(tuning, arena_format(arena, "tune: %s; it is not used", note));
    return choices;
}

// Whether this run would search longer than the one that stored the text. What the search says of that is a comment.
static bool deserves_more(const Tuning *tuning, const char *choices) {
    const char *line = strstr(choices, searched_mark);
    if (line && strtod(line + strlen(searched_mark), NULL) >= budget(tuning->command)) return false;
    say(tuning, arena_format(tuning->command->arena, "tune: %s is of a shorter search", tuning->path));
    return true;
}

// The summary that was stored as a comment on the second line.
static const char *second_line(Arena *arena, const char *choices) {
    const char *start = strchr(choices, '\n') + 1;
    if (strncmp(start, "# ", 2) != 0) return "";
    return arena_copy_range(arena, start + 2, strcspn(start + 2, "\n"));
}

// ---- a new one

static const char *summary(const Tuning *tuning, const TuneResult *result) {
    Arena *arena = tuning->command->arena;
    if (!*result->choices)
        return arena_format(arena, "nothing was proved to be faster than the model's own choice, %.4g ms",
                            1e3 * result->untuned);
    return arena_format(
        arena, "%.4g ms against %.4g ms of the model's own choice (%+.1f %%, interval %+.1f .. %+.1f %%), %s bits",
        1e3 * result->tuned, 1e3 * result->untuned, 100 * (result->ratio.median - 1), 100 * (result->ratio.low - 1),
        100 * (result->ratio.high - 1), result->changes_bits ? "with other" : "with the same");
}

static const char *stored_text(const Tuning *tuning, const TuneResult *result) {
    Arena *arena = tuning->command->arena;
    Text text = text_create(arena);
    text_append(&text, "# %s%s\n", *result->choices ? tuned_mark : untuned_mark, summary(tuning, result));
    text_append(&text, "%s%g\n", searched_mark, result->is_whole ? INFINITY : budget(tuning->command));
    if (*tuning->base) {
        text_append(&text, "# from %s:\n", tuning->base_file);
        text_append_bytes(&text, tuning->base, strlen(tuning->base));
        text_append(&text, "\n");
    }
    text_append_bytes(&text, result->choices, strlen(result->choices));
    return text_string(&text);
}

static void store(const Tuning *tuning, const char *choices) {
    Arena *arena = tuning->command->arena;
    const char *refusal = tuning->path ? tune_save(arena, tuning->path, tuning->key, choices)
                                       : "neither XDG_CACHE_HOME nor HOME names a folder";
    say(tuning, refusal ? arena_format(arena, "tune: not remembered: %s", refusal)
                        : arena_format(arena, "tune: stored in %s", tuning->path));
}

static TuneResult search(const Tuning *tuning, ThreadPool *threads) {
    Command *command = tuning->command;
    TuneLanes *lanes = tune_lanes_create(command, tuning->target, tuning->fuse, tuning->base_file, tuning->base,
                                         !tuning->keeps_bits, threads);
    TuneMachine machine = tune_lanes_machine(lanes);
    TuneSettings settings = {.arena = command->arena, .seconds = budget(command), .keeps_bits = tuning->keeps_bits};
    interrupt_install();
    TuneResult result = tune_search(&machine, &settings);
    if (interrupt_requested()) result.end = TUNE_STOPPED;
    interrupt_restore();
    tune_lanes_free(lanes);
    return result;
}

static int run_search(const Tuning *tuning, const char **choices) {
    Command *command = tuning->command;
    Arena *arena = command->arena;
    ThreadPool *threads = threads_create(configured_threads(command->config), true, command->diags);
    if (!threads) return EXIT_IO;
    say(tuning,
        arena_format(arena, "tune: %g s for choices that %s", budget(command),
                     tuning->keeps_bits ? "keep every bit" : "may change bits (number of partial sums, engines)"));
    TuneResult result = search(tuning, threads);
    threads_free(threads);
    if (result.end == TUNE_STOPPED) {
        say(tuning, "tune: stopped by a signal; nothing is stored, and nothing was trained");
        return EXIT_STOPPED;
    }
    if (result.end == TUNE_BROKEN) { // what is wrong, the untuned compile tells
        say(tuning, "tune: the untuned program cannot be timed here; going on without tuning");
        return EXIT_DONE;
    }
    say(tuning, arena_format(arena, "tuned: %s", summary(tuning, &result)));
    say(tuning,
        arena_format(arena, "tune: %zu candidates measured in %.0f s, %zu kept%s", result.measured, result.seconds,
                     result.kept, result.is_whole ? "" : "; there are more, see --tune_seconds"));
    const char *text = stored_text(tuning, &result);
    store(tuning, text);
    if (*result.choices) *choices = text;
    return EXIT_DONE;
}

// ---- the door

static int read_base(Tuning *tuning) {
    Command *command = tuning->command;
    Choices *parsed;
    tuning->base_file = config_string(command->config, "choices");
    tuning->base = "";
    int status = configured_choices(command->arena, command->config, command->diags, &parsed);
    if (status != EXIT_DONE || !parsed) return status;
    tuning->base = file_read_all(command->arena, tuning->base_file, LARGEST_CHOICES, NULL, command->diags);
    return tuning->base ? EXIT_DONE : EXIT_BAD_FILE;
}

static int check_budget(Command *command) {
    double seconds = budget(command);
    if (seconds > 0 && seconds <= 1e6) return EXIT_DONE;
    diag_error(command->diags, config_find(command->config, "tune_seconds")->place,
               "tune_seconds = %g: more than 0, up to 1000000", seconds);
    return EXIT_USAGE;
}

int tune_model(Command *command, const Target *target, FuseLevel fuse, const char **file, const char **choices) {
    const char *mode = config_string(command->config, "tune");
    Tuning tuning = {.command = command, .target = target, .fuse = fuse, .keeps_bits = text_equal(mode, "on")};
    *file = "choices of --tune";
    *choices = NULL;
    if (text_equal(mode, "off")) return EXIT_DONE;
    int status = check_budget(command);
    if (status == EXIT_DONE) status = read_base(&tuning);
    if (status != EXIT_DONE) return status;
    const char *folder = tune_folder(command->arena);
    tuning.key = key_of(&tuning);
    if (folder) *file = tuning.path = tune_path(command->arena, folder, tuning.key);
    const char *known = remembered(&tuning);
    if (!known || deserves_more(&tuning, known)) return run_search(&tuning, choices);
    const char *line = second_line(command->arena, known);
    say(&tuning, arena_format(command->arena, "%s; found before, in %s (remove it to tune again)", line, tuning.path));
    if (strncmp(line, tuned_mark, strlen(tuned_mark)) == 0) *choices = known;
    return EXIT_DONE;
}
