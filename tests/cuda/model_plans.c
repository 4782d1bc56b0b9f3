// Plans of the embedded models (see model_plans.h).
#include "tests/cuda/model_plans.h"

#include "base/file.h"
#include "driver/command.h"

static void assign(Config *config, const ModelCase *which, Diags *diags) {
    for (int i = 0; i < MOST_SIZES && which->sizes[i][0]; i++)
        CHECK(config_assign(config, which->sizes[i][0], which->sizes[i][1], (Place){0}, diags));
}

Plan *model_plan(Arena *arena, const ModelCase *which, const Target *target, int64_t *vocabulary) {
    return model_plan_chosen(arena, which, NULL, target, vocabulary);
}

Plan *model_plan_chosen(Arena *arena, const ModelCase *which, const char *lines, const Target *target,
                        int64_t *vocabulary) {
    Diags *diags = diags_create(arena);
    const char *text = spec_embedded(which->model);
    if (!text) text = file_read_text(arena, arena_format(arena, "%s/%s", SOURCE_DIR, which->model), 1 << 20, diags);
    Spec *spec = text ? spec_parse(arena, which->model, text, diags) : NULL;
    CHECK(spec);
    Config *config = config_create(arena);
    declare_train_keys(config);
    CHECK(spec_declare(spec, config, diags));
    assign(config, which, diags);
    StateTable *states = ARENA_NEW(arena, StateTable);
    states->arena = arena;
    Choices *choices = choices_create(arena);
    CHECK(!lines || choices_add(choices, "choices", lines, diags));
    choices_be_lenient(choices);
    CompileRequest request = {
        .choices = choices, .fuse = which->level, .target = target, .observer = {.verify = true, .limit = -1}};
    Plan *plan = compile_plan(arena, spec, config, which->program, &request, ledger_create(arena), states, diags);
    if (!plan) {
        Text words = text_create(arena);
        diags_render(diags, &words);
        BUG("%s: %s", which->model, text_string(&words));
    }
    if (vocabulary) *vocabulary = config_int(config, "vocab_size");
    return plan;
}
