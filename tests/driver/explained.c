// Plans of tiny models: see explained.h.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "driver/command.h"
#include "driver/compile.h"
#include "tests/driver/explained.h"

static Config *configure(Arena *arena, const Spec *spec, Diags *diags) {
    Config *config = config_create(arena);
    declare_train_keys(config);
    assert_true(spec_declare(spec, config, diags));
    const char *const sizes[][2] = {{"n_layer", "3"},
                                    {"n_head", "2"},
                                    {"n_embd", "8"},
                                    {"batch_size", "2"},
                                    {"block_size", "4"},
                                    {"vocab_size", "5"},
                                    {"gradient_accumulation_steps", "1"},
                                    {"n_kv_head", "1"},
                                    {"n_ffn", "16"}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (config_find(config, sizes[i][0]))
            assert_true(config_assign(config, sizes[i][0], sizes[i][1], (Place){0}, diags));
    return config;
}

Explained explained_tiny(Arena *arena, const char *name, const char *source, FuseLevel level) {
    static Target target;
    target = target_default();
    Diags *diags = diags_create(arena);
    Spec *spec = spec_parse(arena, name, source, diags);
    assert_non_null(spec);
    const Config *config = configure(arena, spec, diags);
    StateTable *states = ARENA_NEW(arena, StateTable);
    states->arena = arena;
    Ledger *ledger = ledger_create(arena);
    Stages stages = {.arena = arena};
    CompileRequest request = {.fuse = level,
                              .target = &target,
                              .observer = {.after = stages_add, .context = &stages, .verify = true, .limit = -1}};
    const Plan *plan = compile_plan(arena, spec, config, MODEL_STEP, &request, ledger, states, diags);
    assert_non_null(plan);
    return (Explained){.level = fuse_name(level),
                       .plan = plan,
                       .ledger = ledger,
                       .stages = stages.stages,
                       .stage_count = stages.count};
}

static void write_golden(const char *path, const char *text, Arena *arena) {
    Diags *diags = diags_create(arena);
    FileWriter *writer = file_writer_open(arena, path, diags);
    assert_non_null(writer);
    assert_true(file_writer_write(writer, text, strlen(text), diags));
    assert_true(file_writer_commit(writer, diags));
}

void assert_golden(const char *file, const char *text, Arena *arena) {
    const char *path = arena_format(arena, SOURCE_DIR "/tests/driver/%s", file);
    if (getenv("BLESS")) write_golden(path, text, arena);
    const char *golden = file_read_all(arena, path, 1 << 20, NULL, diags_create(arena));
    assert_non_null(golden);
    assert_string_equal(text, golden);
}
