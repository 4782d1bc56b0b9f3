// sinter explain --why: every named value has a whole story, every edge between boxes a reason.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "tests/driver/explained.h"

static const char *const specs[] = {
    "models/gpt2",           "models/llama",         "examples/geglu",  "examples/qk_norm_sigmoid",
    "examples/relu_squared", "examples/soft_capped", "examples/swiglu", "examples/window_alibi"};
enum { SPECS = sizeof specs / sizeof *specs };

static Explained explain(Arena *arena, const char *spec, FuseLevel level) {
    const char *path = arena_format(arena, SOURCE_DIR "/%s.spec", spec);
    const char *source = file_read_all(arena, path, 1 << 20, NULL, diags_create(arena));
    assert_non_null(source);
    return explained_tiny(arena, path, source, level);
}

static bool has_line(const char *story, const char *title) {
    char begin[40];
    snprintf(begin, sizeof begin, "\n  %s ", title);
    return strstr(story, begin) != NULL;
}

// What it is and where it lies; who computes it, unless it is given or gone; what was decided about it.
static void assert_whole(const char *spec, const char *name, const char *story) {
    bool is_leaf = has_line(story, "written by") || !has_line(story, "computed by");
    bool is_gone = has_line(story, "gone");
    bool is_decided = has_line(story, "made") || has_line(story, "refused") || has_line(story, "candidates");
    bool is_whole = has_line(story, "is") && has_line(story, "size") && has_line(story, "stored") &&
                    (is_gone || is_leaf || has_line(story, "read through") || has_line(story, "computed by")) &&
                    (is_gone || has_line(story, "read by") || !is_leaf || has_line(story, "read through")) &&
                    (is_gone || is_decided);
    if (!is_whole) fail_msg("%s: the story of %s is not whole:\n%s", spec, name, story);
}

static void every_name_has_a_story(void **state) {
    (void)state;
    for (int s = 0; s < SPECS; s++) {
        for (int level = s < 2 ? FUSE_OP : FUSE_ALL; level <= FUSE_ALL; level++) {
            Arena *arena = arena_create();
            Explained shown = explain(arena, specs[s], (FuseLevel)level);
            size_t count;
            const char *const *names = explain_names(&shown, arena, &count);
            assert_true(count > 60);
            for (size_t i = 0; i < count; i++) {
                Arena *scratch = arena_create();
                Text text = text_create(scratch);
                Diags *diags = diags_create(scratch);
                if (!explain_why(&shown, names[i], &text, diags)) fail_msg("%s: no %s", specs[s], names[i]);
                assert_whole(specs[s], names[i], text_string(&text));
                arena_free(scratch);
            }
            arena_free(arena);
        }
    }
}

// What the author of the spec writes, whatever passes made of it.
static void the_specs_own_names(void **state) {
    (void)state;
    static const char *const gpt2[] = {"x",
                                       "layer[2].a",
                                       "layer[2].t",
                                       "layer[1].q",
                                       "layer[1].k",
                                       "layer[1].v",
                                       "layer[1].s",
                                       "layer[1].p",
                                       "layer[1].y",
                                       "layer[1].x",
                                       "layer[1].m",
                                       "layer[1].u",
                                       "layer[1].x.1",
                                       "logits",
                                       "loss",
                                       "wte",
                                       "wpe",
                                       "layer[0].Wqkv",
                                       "layer[0].Wo",
                                       "layer[0].Wfc",
                                       "layer[0].Wpr",
                                       "grad.layer[0].Wqkv",
                                       "grad.wte",
                                       "grad.logits",
                                       "grad.layer[1].p",
                                       "grad.h.1.mlp.c_fc.weight",
                                       "layer[*].p",
                                       "layer[0..1].p",
                                       "h.{*}.ln_1.weight",
                                       "tok"};
    static const char *const llama[] = {"x",          "layer[2].a",       "layer[1].q",   "layer[1].k",
                                        "layer[1].v", "layer[1].s",       "layer[1].p",   "layer[1].y",
                                        "layer[1].m", "layer[1].u",       "layer[1].x.1", "logits",
                                        "loss",       "layer[0].q.angle", "layer[0].Wg",  "grad.layer[0].Wd"};
    for (int level = FUSE_NONE; level <= FUSE_ALL; level++) {
        Arena *arena = arena_create();
        Explained shown[] = {explain(arena, specs[0], (FuseLevel)level), explain(arena, specs[1], (FuseLevel)level)};
        Diags *diags = diags_create(arena);
        Text text = text_create(arena);
        for (size_t i = 0; i < sizeof gpt2 / sizeof *gpt2; i++)
            if (!explain_why(&shown[0], gpt2[i], &text, diags)) fail_msg("gpt2 has no %s", gpt2[i]);
        for (size_t i = 0; i < sizeof llama / sizeof *llama; i++)
            if (!explain_why(&shown[1], llama[i], &text, diags)) fail_msg("llama has no %s", llama[i]);
        for (const char *line = text_string(&text); *line; line += strcspn(line, "\n"), line += *line == '\n')
            if (strcspn(line, "\n") > 100) fail_msg("too long: %.*s", (int)strcspn(line, "\n"), line);
        arena_free(arena);
    }
}

static void a_story_in_full(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Explained shown = explain(arena, specs[0], FUSE_OP);
    Text text = text_create(arena);
    Diags *diags = diags_create(arena);
    static const char *const places[] = {"layer[*].p", "layer[*].q", "layer[1].Wfc", "layer[*].a.centred", "grad.wte"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_true(explain_why(&shown, places[i], &text, diags));
        text_append(&text, "\n");
    }
    assert_golden("why_op.txt", text_string(&text), arena);
    arena_free(arena);
}

static void an_unknown_place(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Explained shown = explain(arena, specs[0], FUSE_ALL);
    Text text = text_create(arena), complaint = text_create(arena);
    Diags *diags = diags_create(arena);
    assert_false(explain_why(&shown, "layer[1].pp", &text, diags));
    assert_false(explain_why(&shown, "layer[7].p", &text, diags));
    assert_false(explain_why(&shown, "", &text, diags));
    diags_render(diags, &complaint);
    assert_non_null(strstr(text_string(&complaint), "nothing in this step is called 'layer[1].pp'"));
    assert_non_null(strstr(text_string(&complaint), "did you mean 'layer[1].p'?"));
    assert_int_equal(text.length, 0);
    arena_free(arena);
}

// ---- reasons

static bool names_node(const Decision *decision, NodeId node) {
    for (size_t i = 0; i < decision->node_count; i++)
        if (decision->nodes[i] == node) return true;
    return false;
}

static NodeId node_of(const Plan *plan, ValueId value) {
    for (NodeId id = 0; id < graph_nodes(plan->dims); id++)
        if (plan->value_of[id] == value) return id;
    return NODE_NONE;
}

static bool is_refused(const Explained *shown, NodeId made, NodeId result) {
    for (size_t i = 0; i < ledger_count(shown->ledger); i++) {
        const Decision *decision = ledger_at(shown->ledger, i);
        if (!decision->made && names_node(decision, made) && names_node(decision, result) && *decision->reason)
            return true;
    }
    return false;
}

// A box that reads what another one stores is not one box with it: the ledger says why.
static void every_edge_has_a_reason(void **state) {
    (void)state;
    for (int s = 0; s < 2; s++) {
        for (int level = FUSE_NONE; level <= FUSE_ALL; level++) {
            Arena *arena = arena_create();
            Explained shown = explain(arena, specs[s], (FuseLevel)level);
            const Plan *plan = shown.plan;
            const uint32_t *writer = plan_writers(plan, arena);
            size_t edges = 0;
            for (uint32_t i = 0; i < plan->step_count; i++) {
                const Step *step = &plan->steps[i];
                NodeId result = node_of(plan, step->outputs[0]);
                for (uint32_t k = 0; k < step->operand_count && result != NODE_NONE; k++) {
                    NodeId made = node_of(plan, step->operands[k]);
                    if (made == NODE_NONE || writer[step->operands[k]] == STEP_NONE) continue;
                    edges++;
                    if (!is_refused(&shown, made, result))
                        fail_msg("%s, level %s: nothing says why step %u is not one with step %u", specs[s],
                                 shown.level, i, writer[step->operands[k]]);
                }
            }
            assert_true(edges > 100);
            arena_free(arena);
        }
    }
}

static void patterns(void **state) {
    (void)state;
    assert_true(explain_matches("layer[*].p", "layer[12].p"));
    assert_true(explain_matches("layer[1..2].p", "layer[2].p"));
    assert_true(explain_matches("h.{*}.w", "h.3.w"));
    assert_true(explain_matches("h.{0..3}.w", "h.3.w"));
    assert_true(explain_matches("grad.layer[*].x.1", "grad.layer[0].x.1"));
    assert_false(explain_matches("layer[1..2].p", "layer[3].p"));
    assert_false(explain_matches("layer[*].p", "layer[].p"));
    assert_false(explain_matches("layer[*].p", "layer[1].pp"));
    assert_false(explain_matches("layer[*]", "layer[1].p"));
    assert_false(explain_matches("layer[1..].p", "layer[1].p"));
    assert_false(explain_matches("h.{*}.w", "h.w"));
    assert_false(explain_matches("x", ""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_has_a_story),  cmocka_unit_test(the_specs_own_names),
        cmocka_unit_test(a_story_in_full),         cmocka_unit_test(an_unknown_place),
        cmocka_unit_test(every_edge_has_a_reason), cmocka_unit_test(patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
