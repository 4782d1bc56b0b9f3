// The command line's keys: nanoGPT's names, defaults and meanings, and Sinter's own.
#include <stdlib.h>
#include <string.h>

#include "driver/command.h"

static ConfigValue integer(int64_t value) {
    return (ConfigValue){.type = CONFIG_INT, .integer = value, .number = (double)value};
}
static ConfigValue number(double value) { return (ConfigValue){.type = CONFIG_FLOAT, .number = value}; }
static ConfigValue boolean(bool value) { return (ConfigValue){.type = CONFIG_BOOL, .integer = value}; }
static ConfigValue string(const char *value) { return (ConfigValue){.type = CONFIG_STRING, .string = value}; }

typedef struct {
    const char *name;
    ConfigValue value;
} KeyRow;

static void declare_rows(Config *config, const KeyRow *rows, size_t count) {
    for (size_t i = 0; i < count; i++) config_declare(config, rows[i].name, rows[i].value, NULL, false);
}

static const char *const fuse_levels[] = {"none", "op", "all", NULL};
static const char *const orders[] = {"random", "sequential", NULL};
static const char *const policies[] = {"halt", "skip", NULL};
static const char *const tunings[] = {"off", "on", "all", NULL};

// Keys that train and sample share.
static void declare_machine_keys(Config *config) {
    config_declare(config, "out_dir", string("out"), NULL, false);
    config_declare(config, "device", string("auto"), NULL, false);
    config_declare(config, "dtype", string("float32"), NULL, false);
    config_declare(config, "tf32", boolean(false), NULL, false);
    config_declare(config, "persistent", boolean(false), NULL, false);
    config_declare(config, "compile", boolean(true), NULL, false);
    config_declare(config, "fuse", string("all"), fuse_levels, false);
    config_declare(config, "seed", integer(1337), NULL, false);
    config_declare(config, "threads", integer(0), NULL, false);
    config_declare(config, "time", boolean(false), NULL, false);
    config_declare(config, "cache", boolean(true), NULL, false);
}

void declare_train_keys(Config *config) {
    declare_machine_keys(config);
    const KeyRow rows[] = {
        {"model", string("gpt2")},
        {"eval_interval", integer(2000)},
        {"log_interval", integer(1)},
        {"eval_iters", integer(200)},
        {"eval_only", boolean(false)},
        {"always_save_checkpoint", boolean(true)},
        {"init_from", string("scratch")},
        {"dataset", string("openwebtext")},
        {"gradient_accumulation_steps", integer(40)},
        {"batch_size", integer(12)},
        {"block_size", integer(1024)},
        {"learning_rate", number(6e-4)},
        {"max_iters", integer(600000)},
        {"weight_decay", number(0.1)},
        {"beta1", number(0.9)},
        {"beta2", number(0.95)},
        {"grad_clip", number(1.0)},
        {"decay_lr", boolean(true)},
        {"warmup_iters", integer(2000)},
        {"lr_decay_iters", integer(600000)},
        {"min_lr", number(6e-5)},
        {"vocab_size", integer(50304)},
        // Sinter's own
        {"data_dir", string("data")},
        {"train_bin", string("")},
        {"val_bin", string("")},
        {"metrics", string("")},
        {"grads_out", string("")},
        {"full", boolean(false)},
        {"choices", string("")},
        {"activation_budget", string("0")},
        {"keep_last", integer(2)},
        {"steps_per_launch", integer(0)},
        {"dependent_launch", boolean(true)},
        {"merge_launches", boolean(true)},
        {"quiet", boolean(false)},
        // torch.amp.GradScaler's names and defaults
        {"init_scale", number(65536)},
        {"growth_interval", integer(2000)},
    };
    declare_rows(config, rows, sizeof rows / sizeof *rows);
    config_declare(config, "data_order", string("random"), orders, false);
    config_declare(config, "nonfinite", string("halt"), policies, false);
    config_declare(config, "tune", string("off"), tunings, false);
    config_declare(config, "tune_seconds", number(30), NULL, false);
    // nanoGPT keys that mean nothing here: accepted with a note. A spec may claim the model's ones.
    const KeyRow ignored[] = {
        {"n_layer", integer(12)},        {"n_head", integer(12)},
        {"n_embd", integer(768)},        {"dropout", number(0.0)},
        {"bias", boolean(false)},        {"wandb_log", boolean(false)},
        {"wandb_project", string("owt")}, {"wandb_run_name", string("gpt2")},
        {"backend", string("nccl")},
    };
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        config_declare(config, ignored[i].name, ignored[i].value, NULL, false)->ignored = true;
}

void declare_sample_keys(Config *config) {
    declare_machine_keys(config);
    const KeyRow rows[] = {
        {"init_from", string("resume")},    {"start", string("\n")},     {"num_samples", integer(10)},
        {"max_new_tokens", integer(500)},   {"temperature", number(0.8)}, {"top_k", integer(200)},
    };
    declare_rows(config, rows, sizeof rows / sizeof *rows);
    // Shapes come from the checkpoint; batch_size is the number of samples drawn at once.
    const KeyRow shapes[] = {{"batch_size", integer(1)}, {"block_size", integer(1)}, {"vocab_size", integer(1)}};
    declare_rows(config, shapes, sizeof shapes / sizeof *shapes);
}

void declare_lower_keys(Config *config) {
    declare_train_keys(config);
    static const char *const stages[] = {"ast", "graph", "optimized", "plan", "tiles", "llvm", "asm", "cuda",
                                         "ptx", "sass", "ledger", NULL};
    static const char *const programs[] = {"step", "micro", "eval", "logits", NULL};
    config_declare(config, "emit", string("plan"), stages, false);
    config_declare(config, "program", string("step"), programs, false);
    config_declare(config, "target", string("host"), NULL, false);
    config_declare(config, "passes", string(""), NULL, false);
    config_declare(config, "dump_dir", string(""), NULL, false);
    config_declare(config, "pass_limit", integer(-1), NULL, false);
}

void declare_explain_keys(Config *config) {
    declare_train_keys(config);
    config_declare(config, "why", string(""), NULL, false);
    config_declare(config, "choices_out", string(""), NULL, false);
    config_declare(config, "svg", string(""), NULL, false);
    config_declare(config, "dot", string(""), NULL, false);
}

void declare_profile_keys(Config *config) {
    declare_train_keys(config);
    const KeyRow rows[] = {{"steps", integer(0)}, {"trace", string("")}, {"json", string("")}};
    declare_rows(config, rows, sizeof rows / sizeof *rows);
}

void declare_plot_keys(Config *config) {
    static const char *const axes[] = {"iter", "time", NULL};
    config_declare(config, "svg", string(""), NULL, false);
    config_declare(config, "smooth", integer(0), NULL, false);
    config_declare(config, "x", string("iter"), axes, false);
    config_declare(config, "ascii", boolean(false), NULL, false);
}

void declare_prepare_keys(Config *config) { config_declare(config, "out", string(""), NULL, false); }

void declare_bench_keys(Config *config) {
    declare_train_keys(config);
    const KeyRow rows[] = {
        {"levels", string("none,op,all")}, {"ablate", boolean(false)}, {"sweep", string("")},
        {"rounds", integer(0)},            {"steps", integer(0)},      {"seconds", number(30)},
        {"json", string("")},              {"report", string("")},     {"replay", string("")},
        {"anew", boolean(false)},
    };
    declare_rows(config, rows, sizeof rows / sizeof *rows);
}

void declare_no_keys(Config *config) { (void)config; }

void config_literal(Text *text, const ConfigValue *value) {
    char quote = value->type == CONFIG_STRING && strchr(value->string, '\'') ? '"' : '\'';
    switch (value->type) {
    case CONFIG_INT: text_append(text, "%lld", (long long)value->integer); break;
    case CONFIG_BOOL: text_append(text, "%s", value->integer ? "True" : "False"); break;
    case CONFIG_FLOAT: text_append_double(text, value->number); break;
    case CONFIG_STRING: text_append(text, "%c%s%c", quote, value->string, quote); break;
    }
}
