// What every command gets, and the list of commands.
#ifndef SINTER_DRIVER_COMMAND_H
#define SINTER_DRIVER_COMMAND_H

#include <stdio.h>

#include "base/cache.h"
#include "base/diag.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "ir/target.h"

// Exit codes (also in README.md).
enum {
    EXIT_DONE = 0,
    EXIT_USAGE = 2,       // usage or spec
    EXIT_BAD_FILE = 3,    // bad input file
    EXIT_MEMORY = 4,      // does not fit in memory
    EXIT_IO = 5,          // I/O
    EXIT_NONFINITE = 6,   // non-finite loss
    EXIT_STOPPED = 75     // stopped by a signal after writing a checkpoint
};

typedef struct {
    Arena *arena;
    Diags *diags;
    Config *config;
    Spec *spec;                    // NULL for commands without a model
    const char *spec_file;         // as shown in messages
    const char *spec_source;
    const char *const *files;      // positional arguments that are neither configs nor specs (prepare, lower)
    size_t file_count;
    const struct Gpu *gpu;         // that models run on, once check_device has been called; NULL: the processor
    FILE *echo;                    // where overrides and notes go: stderr when stdout is the product
} Command;

// Reads positional files and `--key=value`s, left to right, over the declared keys. `keys`: declares the command's own.
// With `wants_model`, a spec is found (a .spec argument, --model=NAME|FILE, `model = ` in a config, else gpt2).
// EXIT_DONE, or the exit code after diagnostics.
int arguments_read(Command *command, int count, char **arguments, void (*declare)(Config *config), bool wants_model);
// Keys of train, compile-like commands and nanoGPT's train.py; and of sample.py.
void declare_train_keys(Config *config);
void declare_sample_keys(Config *config);
void declare_explain_keys(Config *config);
void declare_lower_keys(Config *config);
void declare_profile_keys(Config *config);
void declare_explain_keys(Config *config);
void declare_plot_keys(Config *config);
void declare_prepare_keys(Config *config);
void declare_bench_keys(Config *config);
void declare_no_keys(Config *config);
// A value as config files write it: 12, 0.001, True, 'random'.
void config_literal(Text *text, const ConfigValue *value);

// Level of fusion from --fuse and nanoGPT's --compile.
FuseLevel configured_fuse(const Config *config);
// The choices of --choices=FILE; NULL without. EXIT_DONE, or an exit code after diagnostics.
int configured_choices(Arena *arena, const Config *config, Diags *diags, Choices **choices);
// Bytes of --activation_budget=BYTES, as 512M or 1.5G; 0: no limit, also for commands without the key. False after a
// diagnostic.
bool configured_budget(const Config *config, Diags *diags, size_t *bytes);
// vocab_size from the meta file beside the training tokens, unless given. EXIT_DONE or an exit code.
int configure_vocabulary(Command *command);
const char *train_tokens_path(const Command *command);
const char *validation_tokens_path(const Command *command);
// Threads from --threads (0: one for each physical core).
int configured_threads(const Config *config);
// This processor's cores, vectors and caches; nothing is measured (target.h).
Target probed_target(void);
// Where machine code is kept between runs, $XDG_CACHE_HOME/sinter/code; NULL with --cache=False, and, after a warning,
// where it cannot be.
Cache *configured_cache(Command *command);
// NULL, or that the environment, and not the processor, chose OpenBLAS' kernels: "forced by OPENBLAS_CORETYPE=Haswell".
const char *blas_forced(Arena *arena);
const char *blas_version(Arena *arena);   // what OpenBLAS says of itself, and that
// device and dtype must be ones this build has; opens the GPU when it is to be used. `auto` is a GPU where there is
// one, and where there is none the echo says why. EXIT_DONE, or EXIT_USAGE after a diagnostic.
int check_device(Command *command);
// The same for what compares devices: `device` may be a list, "cpu,cuda". Opens the GPU when one of them is it; which
// are GPUs, in the order of the list. EXIT_DONE, or EXIT_USAGE after a diagnostic.
enum { MOST_DEVICES = 2 };
int check_devices(Command *command, bool are_gpus[MOST_DEVICES], int *count);
// Whether there is the dtype that is asked for, on a GPU or on a processor: a diagnostic, else.
bool check_dtype(Command *command, bool is_gpu);
// What is compiled for: this machine's processor, or its GPU.
Target command_target(const Command *command);

int command_train(Command *command);
int command_sample(Command *command);
int command_prepare(Command *command);
int command_lower(Command *command);
int command_explain(Command *command);
int command_profile(Command *command);
int command_plot(Command *command);
int command_check(Command *command);
int command_bench(Command *command);
int command_info(Command *command);

#endif
