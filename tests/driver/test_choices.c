// Choices through the whole compiler: what was decided decides it again, on any Target; and whatever is chosen, values
// and gradients stay what they are. SINTER_CHOICES_SEEDS=N: so many random texts of choices instead of a few.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "driver/check.h"
#include "driver/training.h"

// ---- models

// `more`: arguments besides; NULL: none.
static Command command_with(Arena *arena, const char *model, const char *more) {
    Command command = {.arena = arena, .diags = diags_create(arena), .config = config_create(arena), .echo = stdout};
    static char *arguments[] = {"--n_layer=3",    "--n_head=4",      "--n_embd=64", "--block_size=32",
                                "--batch_size=4", "--vocab_size=65", "--gradient_accumulation_steps=1"};
    char *all[16] = {arena_format(arena, "--model=%s", model)};
    int count = 1;
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) all[count++] = arguments[i];
    if (text_equal(model, "llama")) all[count++] = "--n_kv_head=2";
    if (more) all[count++] = arena_copy(arena, more);
    FILE *null = fopen("/dev/null", "w");
    assert_non_null(null);
    command.echo = null;
    assert_int_equal(arguments_read(&command, count, all, declare_train_keys, true), EXIT_DONE);
    fclose(null);
    return command;
}

static Command command_for(Arena *arena, const char *model) {
    return command_with(arena, model, NULL);
}

static Target unlike_target(void) {
    Target target = target_default();
    target.cores = 7;
    target.vector_bytes = 64;
    target.vector_registers = 32;
    target.l1_bytes *= 64;
    target.l2_bytes *= 16;
    target.l3_bytes /= 4;
    target.bandwidth *= 5;
    return target;
}

static void assert_no_errors(const Command *command) {
    Text text = text_create(command->arena);
    diags_render(command->diags, &text);
    const char *first = strstr(text_string(&text), "error: ");
    if (diags_errors(command->diags)) fail_msg("%.300s", first ? first : text_string(&text));
}

// Texts of the plans of step and eval; with `out`, the choices that make them again.
static const char *plans_of(Command *command, FuseLevel fuse, const Target *target, const char *source, Text *out) {
    static const char *const names[] = {"step", "micro", "eval"};
    StateTable states = {.arena = command->arena};
    CompileRequest request = {.fuse = fuse, .target = target, .observer = {.limit = -1}};
    if (source) {
        request.choices = choices_create(command->arena);
        assert_true(choices_add(request.choices, "test.choices", source, command->diags));
        if (out) choices_print(request.choices, out);
    }
    Text text = text_create(command->arena);
    for (int program = MODEL_STEP; program <= MODEL_EVAL; program += MODEL_EVAL - MODEL_STEP) {
        Ledger *ledger = ledger_create(command->arena);
        const Plan *plan = compile_plan(command->arena, command->spec, command->config, (ModelProgram)program, &request,
                                        ledger, &states, command->diags);
        assert_non_null(plan);
        plan_print(plan, &text);
        if (out) choices_write(plan, ledger, names[program], out);
    }
    choices_finish(request.choices, command->diags);
    assert_no_errors(command);
    return text_string(&text);
}

// ---- what was decided decides it again

static void same_plan_there(Command *command, FuseLevel fuse, const Target *here, const Target *elsewhere,
                            const char *source) {
    Text written = text_create(command->arena), again = text_create(command->arena);
    const char *plans = plans_of(command, fuse, here, source, &written);
    if (fuse == FUSE_ALL && !source)
        assert_false(text_equal(plans, plans_of(command, fuse, elsewhere, NULL, NULL)));
    assert_string_equal(plans, plans_of(command, fuse, here, text_string(&written), &again));
    assert_string_equal(plans, plans_of(command, fuse, elsewhere, text_string(&written), NULL));
    if (!source) assert_string_equal(text_string(&written), text_string(&again));
}

static void same_plan_again(const char *model, FuseLevel fuse, const char *source) {
    Arena *arena = arena_create();
    Command command = command_for(arena, model);
    Target here = target_default(), elsewhere = unlike_target();
    same_plan_there(&command, fuse, &here, &elsewhere, source);
    arena_free(arena);
}

static void decided_again(void **state) {
    (void)state;
    for (int fuse = FUSE_NONE; fuse <= FUSE_ALL; fuse++) {
        same_plan_again("gpt2", (FuseLevel)fuse, NULL);
        same_plan_again("llama", (FuseLevel)fuse, NULL);
    }
}

static void decided_again_under_choices(void **state) {
    (void)state;
    static const char source[] = "forbid band at layer[1..2].p\nforbid strand\nkeep layer[*].a\ntile layer[*].u 3x16\n"
                                 "chunk product at layer[*].y 3\nforbid box row softmax at layer[0].p\nforbid row_dot\n"
                                 "in eval\nforbid merge product with gelu\n";
    same_plan_again("gpt2", FUSE_ALL, source);
}

// ---- on a GPU

static Target gpu_target(double library_bytes) {
    Target target;
    assert_true(target_of_gpu("sm_90a", &target));
    target.library_bytes = library_bytes;
    return target;
}

static Target unlike_gpu(double library_bytes) {
    Target target = gpu_target(library_bytes);
    target.cores = 7;
    target.l3_bytes /= 4;
    target.peak_flops /= 9;
    target.bandwidth *= 5;
    return target;
}

static void same_plan_on_gpu(const char *model, FuseLevel fuse, const char *numbers, const char *source) {
    Arena *arena = arena_create();
    Command command = command_with(arena, model, numbers);
    Target here = gpu_target(1 << 22), elsewhere = unlike_gpu(1 << 22);
    same_plan_there(&command, fuse, &here, &elsewhere, source);
    arena_free(arena);
}

static void decided_again_on_a_gpu(void **state) {
    (void)state;
    static const char *const numbers[] = {"--tf32=True", "--dtype=bfloat16", "--dtype=float16"};
    for (int fuse = FUSE_OP; fuse <= FUSE_ALL; fuse++)
        for (int i = 0; i < 3; i++) {
            same_plan_on_gpu("gpt2", (FuseLevel)fuse, numbers[i], NULL);
            same_plan_on_gpu("llama", (FuseLevel)fuse, numbers[i], NULL);
        }
}

// Blocks, parts, warpgroups and libraries of all kinds, some of them impossible at some of their places.
static void decided_again_on_a_gpu_under_choices(void **state) {
    (void)state;
    static const char source[] = "make product by tensor cores\nblock layer[*].t 128x64 stages 2\n"
                                 "block grad.* 64x64 stages 3 parts 2\nblock layer[1..2].u 64x256 wgmma turns\n"
                                 "engine layer[0].t cublaslt\nengine layer[1..2].* cublaslt\nprecision layer[2].a f32\n"
                                 "forbid product by tensor cores at layer[1].s*\nforbid keep copy in bf16 at h.1.*\n";
    same_plan_on_gpu("gpt2", FUSE_ALL, "--dtype=bfloat16", source);
    same_plan_on_gpu("gpt2", FUSE_OP, "--dtype=bfloat16", "engine layer[*].y tiles\nblock layer[*].y 32x32 parts 1\n");
}

// A block of threads takes few rows: it lowers tiles, and the tiles that are written make the same chain.
static void chains_on_a_gpu(void **state) {
    (void)state;
    static const char source[] = "make chain at layer[*].p\nmake make again at layer[*].p\n";
    Arena *arena = arena_create();
    Command command = command_with(arena, "gpt2", "--block_size=64");
    Target target = gpu_target(0);
    target.l3_bytes = 50000;
    Text written = text_create(arena);
    const char *plans = plans_of(&command, FUSE_ALL, &target, source, &written);
    assert_non_null(strstr(plans, "joined"));
    assert_non_null(strstr(plans, "tile 1 by"));
    assert_string_equal(plans, plans_of(&command, FUSE_ALL, &target, text_string(&written), NULL));
    arena_free(arena);
}

// ---- the ledger says who chose

static void in_the_ledger(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Command command = command_for(arena, "gpt2");
    Target target = target_default();
    StateTable states = {.arena = arena};
    Ledger *ledger = ledger_create(arena);
    CompileRequest request = {.fuse = FUSE_ALL, .target = &target, .observer = {.limit = -1}};
    request.choices = choices_create(arena);
    static const char source[] = "keep layer[*].a\n\nforbid band of softmax at layer[0..1].p\n";
    assert_true(choices_add(request.choices, "t.choices", source, command.diags));
    assert_non_null(compile_plan(arena, command.spec, command.config, MODEL_STEP, &request, ledger, &states,
                                 command.diags));
    Text text = text_create(arena);
    ledger_print(ledger, &text);
    static const char *const lines[] = {
        "made     draw_boxes: store value at layer[0..2].a: by choice t.choices:1\n",
        "made     find_bands: band of softmax at layer[2].p: ",
        "refused  find_bands: band of softmax at layer[0..1].p: by choice t.choices:3\n"};
    for (int i = 0; i < 3; i++) assert_non_null(strstr(text_string(&text), lines[i]));
    arena_free(arena);
}

// ---- errors

static void expect_complaint(const char *source, const char *fragment) {
    Arena *arena = arena_create();
    Command command = command_for(arena, "gpt2");
    Target target = target_default();
    StateTable states = {.arena = arena};
    CompileRequest request = {.fuse = FUSE_ALL, .target = &target, .observer = {.limit = -1}};
    request.choices = choices_create(arena);
    assert_true(choices_add(request.choices, "bad.choices", source, command.diags));
    Ledger *ledger = ledger_create(arena);
    assert_non_null(compile_plan(arena, command.spec, command.config, MODEL_STEP, &request, ledger, &states,
                                 command.diags));
    assert_false(choices_finish(request.choices, command.diags));
    Text text = text_create(arena);
    diags_render(command.diags, &text);
    if (!strstr(text_string(&text), fragment)) fail_msg("'%s' expected in:\n%s", fragment, text_string(&text));
    if (strncmp(text_string(&text), "bad.choices:1:1: error: '", 25) != 0) fail_msg("%s", text_string(&text));
    arena_free(arena);
}

static void what_cannot_be(void **state) {
    (void)state;
    expect_complaint("keep layer[*].pp", "there is no 'layer[*].pp' here; did you mean 'layer[0].p'?");
    expect_complaint("forbid bands", "there is no 'bands' here; did you mean 'band'?");
    expect_complaint("forbid band at layer[*].u", "its names exist, but no such decision is taken there");
    expect_complaint("fuse layer[0].y with layer[0].x", "two contractions");
    expect_complaint("fuse layer[0].y with layer[0].t", "a select of the contraction's result");
    expect_complaint("fuse grad.h.0.mlp.c_fc.weight with h.0.mlp.c_fc.weight",
                     "not convex: a path leaves the box and returns through");
    expect_complaint("fuse layer[1].p with layer[1].y", "a contraction over {S} and a reduction over {S}");
    expect_complaint("make merge product with softmax at layer[0].p",
                     "a contraction over {D} and a reduction over {S}");
    expect_complaint("redo layer[0].t", "results of products, reductions and scatters are always stored");
    expect_complaint("redo loss", "it is a result of the program");
    expect_complaint("tile layer[*].u 6x48", "tiles are 16 or 32 lanes wide");
    expect_complaint("tile layer[*].u 40x16", "the registers hold");
    expect_complaint("chunk product at layer[*].u 100000", "rows to cut");
    expect_complaint("chunk product at layer[*].u 4 over F", "F are not the outermost dims that it can be cut along");
    expect_complaint("strand 3 groups 2", "no dim can be cut so from the first product to the last");
    expect_complaint("engine layer[*].u openblas", "it has an epilogue");
    expect_complaint("forbid must pack at logits", "it does not lie in memory by strides");
    expect_complaint("precision tok f32", "'tok' holds i32");
}

// ---- whatever is chosen, the numbers are the same

typedef struct {
    uint64_t state;
} Dice;

static uint64_t roll(Dice *dice, uint64_t below) {   // splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
    uint64_t z = (dice->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

// NULL for values without one, and for copies of params, which are no values of the graph.
static const char *value_name(const Plan *plan, const Step *step) {
    const Value *value = &plan->values[step->outputs[0]];
    return value->name && !strchr(value->name, ' ') ? value->name : NULL;
}

// Forbids or makes some decisions, keeps and redoes some values, and cuts and tiles some steps in another way.
static const char *random_choices(Arena *arena, Dice *dice, const Ledger *ledger, const Plan *plan) {
    Text text = text_create(arena);
    uint64_t part = 2 + roll(dice, 30);
    for (size_t i = 0; i < ledger_count(ledger); i++) {
        const Decision *decision = ledger_at(ledger, i);
        if (roll(dice, part) != 0 || !*decision->place) continue;
        if (text_equal(decision->what, "store value"))
            text_append(&text, "%s %s\n", roll(dice, 2) ? "keep" : "redo", decision->place);
        else
            text_append(&text, "%s \"%s\" at %s\n", decision->made ? "forbid" : "make", decision->what,
                        decision->place);
    }
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        if (roll(dice, part) != 0) continue;
        if (step->tile_rows)
            text_append(&text, "tile %s %dx%d\n", step->place, (int)(1 + roll(dice, 6)), roll(dice, 2) ? 16 : 32);
        if (step->tile_rows && roll(dice, 4) == 0) text_append(&text, "engine %s openblas\n", step->place);
        const char *name = value_name(plan, step);
        const char *other = value_name(plan, &plan->steps[roll(dice, plan->step_count)]);
        if (name && roll(dice, 4) == 0) text_append(&text, "fuse %s\n", name);
        if (name && other) text_append(&text, "fuse %s with %s\n", name, other);
        text_append(&text, "chunk %s at %s %d\n", step->label, step->place, (int)(1 + roll(dice, 9)));
    }
    MadeKind *kinds;
    size_t count = choices_list_made(arena, ledger, &kinds);
    if (count) text_append(&text, "%s\n", kinds[roll(dice, count)].forbid);
    if (roll(dice, 3) == 0) text_append(&text, "strand %s\n", roll(dice, 2) ? "off" : "4 groups 2");
    return text_string(&text);
}

static void check_choices(Command *command, const CheckReference *reference, const Target *target, FuseLevel fuse,
                          const char *source, Training *training) {
    CompileRequest request = {.fuse = fuse, .target = target, .observer = {.verify = true, .limit = -1}};
    request.choices = choices_create(command->arena);
    choices_add(request.choices, "random.choices", source, command->diags);
    assert_no_errors(command);
    choices_be_lenient(request.choices);
    assert_int_equal(training_compile(command, target, false, &request, training), EXIT_DONE);
    training->threads = threads_create(2, false, command->diags);
    assert_non_null(training->threads);
    assert_int_equal(training_session(command, training), EXIT_DONE);
    CheckErrors errors;
    assert_int_equal(check_compare(reference, &training->model, training->session, &errors, command->diags),
                     RUNTIME_OK);
    if (!errors.passed)
        fail_msg("value %g (%s), gradient %g (%s), update %g (%s) with\n%s", errors.value.error, errors.value.name,
                 errors.gradient.error, errors.gradient.name, errors.update.error, errors.update.name, source);
}

static void numbers_stay(void **state) {
    (void)state;
    const char *given = getenv("SINTER_CHOICES_SEEDS");
    int seeds = given ? atoi(given) : 6;
    Arena *arena = arena_create();
    Command command = command_for(arena, "gpt2");
    Target target = probed_target();
    CheckReference *reference = check_reference(&command, &target);
    assert_non_null(reference);
    for (int fuse = FUSE_OP; fuse <= FUSE_ALL; fuse++) {
        Training plain = {0};
        check_choices(&command, reference, &target, (FuseLevel)fuse, "", &plain);
        for (int seed = 1; seed <= (fuse == FUSE_ALL ? seeds : seeds / 4); seed++) {
            Dice dice = {(uint64_t)seed};
            const char *source = random_choices(arena, &dice, plain.model.ledger, plain.model.plans[MODEL_STEP]);
            Training training = {0};
            check_choices(&command, reference, &target, (FuseLevel)fuse, source, &training);
            training_free(&training);
        }
        training_free(&plain);
    }
    check_reference_free(reference);
    arena_free(arena);
}

// Each kind of decision left out, alone.
static void each_kind_can_be_left_out(void **state) {
    (void)state;
    for (int fuse = FUSE_OP; fuse <= FUSE_ALL; fuse++) {
        Arena *arena = arena_create();
        Command command = command_for(arena, "gpt2");
        Target target = target_default();
        StateTable states = {.arena = arena};
        Ledger *ledger = ledger_create(arena);
        CompileRequest request = {.fuse = (FuseLevel)fuse, .target = &target, .observer = {.limit = -1}};
        assert_non_null(compile_plan(arena, command.spec, command.config, MODEL_STEP, &request, ledger, &states,
                                     command.diags));
        MadeKind *kinds;
        size_t count = choices_list_made(arena, ledger, &kinds);
        assert_true(count >= 5);
        for (size_t i = 0; i < count; i++) plans_of(&command, (FuseLevel)fuse, &target, kinds[i].forbid, NULL);
        arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decided_again),     cmocka_unit_test(decided_again_under_choices),
        cmocka_unit_test(decided_again_on_a_gpu), cmocka_unit_test(decided_again_on_a_gpu_under_choices),
        cmocka_unit_test(chains_on_a_gpu),
        cmocka_unit_test(in_the_ledger),     cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(numbers_stay),      cmocka_unit_test(each_kind_can_be_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
