// Pictures of a training step: well-formed, complete, nothing on top of something else.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "driver/draw/draw.h"
#include "driver/draw/graph.h"
#include "tests/driver/explained.h"
#include "tests/driver/xml.h"

static const char *const models[] = {"gpt2", "llama"};

static const Plan *plan_of(Arena *arena, int model, FuseLevel level) {
    return explained_tiny(arena, models[model], spec_embedded(models[model]), level).plan;
}

static void pictures_are_well_formed(void **state) {
    (void)state;
    for (int model = 0; model < 2; model++) {
        for (int level = FUSE_NONE; level <= FUSE_ALL; level++) {
            Arena *arena = arena_create();
            Text svg = text_create(arena);
            draw_svg(plan_of(arena, model, (FuseLevel)level), "<tiny> & \"small\"", &svg);
            const char *fault = xml_fault(text_string(&svg));
            if (fault) fail_msg("%s, level %d: %s", models[model], level, fault);
            assert_int_equal(text_count(text_string(&svg), "nan"), 0);
            assert_int_equal(text_count(text_string(&svg), "inf"), 0);
            assert_int_equal(text_count(text_string(&svg), "http"), 1); // the namespace: nothing is fetched
            assert_int_equal(text_count(text_string(&svg), "&lt;tiny&gt; &amp; &quot;small&quot;"), 2);
            arena_free(arena);
        }
    }
}

// Every step is in a box, or is a copy into panels; layers are folded; edges lead from boxes to boxes.
static void steps_are_folded(void **state) {
    (void)state;
    for (int model = 0; model < 2; model++) {
        for (int level = FUSE_NONE; level <= FUSE_ALL; level++) {
            Arena *arena = arena_create();
            const Plan *plan = plan_of(arena, model, (FuseLevel)level);
            Drawn drawn = draw_fold(plan, arena);
            size_t steps = 0, packs = 0, by_layer = 0;
            for (uint32_t n = 0; n < drawn.node_count; n++) {
                steps += drawn.nodes[n].count;
                by_layer += drawn.nodes[n].part != PART_OPTIMIZER && drawn.nodes[n].count == 3;
                assert_true(drawn.nodes[n].part == PART_OPTIMIZER || drawn.nodes[n].count <= 3);
                assert_true(strlen(drawn.nodes[n].title) > 0 && strlen(drawn.nodes[n].place) > 0);
            }
            for (uint32_t i = 0; i < plan->step_count; i++)
                packs += text_equal(plan->steps[i].label, "pack");
            assert_int_equal(steps + packs, plan->step_count);
            assert_true(by_layer >= 20);
            assert_true(drawn.edge_count > drawn.node_count);
            for (uint32_t e = 0; e < drawn.edge_count; e++) {
                assert_true(drawn.edges[e].from < drawn.node_count && drawn.edges[e].to < drawn.node_count);
                assert_true(drawn.edges[e].bytes > 0 && drawn.edges[e].from != drawn.edges[e].to);
            }
            arena_free(arena);
        }
    }
}

static bool overlap(const DrawnNode *a, const DrawnNode *b) {
    return a->x < b->x + b->width && b->x < a->x + a->width && a->y < b->y + b->height && b->y < a->y + a->height;
}

static void boxes_have_places_of_their_own(void **state) {
    (void)state;
    for (int model = 0; model < 2; model++) {
        for (int level = FUSE_NONE; level <= FUSE_ALL; level++) {
            Arena *arena = arena_create();
            Drawn drawn = draw_fold(plan_of(arena, model, (FuseLevel)level), arena);
            DrawnLayout layout = draw_layout(&drawn);
            for (uint32_t n = 0; n < drawn.node_count; n++) {
                const DrawnNode *node = &drawn.nodes[n];
                assert_true(node->x >= 0 && node->x + node->width <= layout.width);
                assert_true(node->y >= DRAWN_TOP - 1 && node->y + node->height <= layout.height + 1);
                for (uint32_t k = 0; k < n; k++)
                    if (overlap(node, &drawn.nodes[k]))
                        fail_msg("%s, level %d: %s %s lies on %s %s", models[model], level, node->title, node->place,
                                 drawn.nodes[k].title, drawn.nodes[k].place);
            }
            // Forward edges lead down, backward ones up.
            for (size_t p = 0; p < layout.path_count; p++) {
                const DrawnPath *path = &layout.paths[p];
                bool up = drawn.nodes[drawn.edges[path->edge].from].part == PART_BACKWARD;
                for (size_t i = 1; i < path->count; i++)
                    assert_true(up ? path->y[i] < path->y[i - 1] : path->y[i] > path->y[i - 1]);
            }
            arena_free(arena);
        }
    }
}

// A reader who knows transformers finds attention and the feed-forward.
static void a_model_is_recognised(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Text dot = text_create(arena), svg = text_create(arena);
    const Plan *plan = plan_of(arena, 0, FUSE_ALL);
    draw_dot(plan, "tiny", &dot);
    draw_svg(plan, "tiny", &svg);
    static const char *const words[] = {"product Wqkv",
                                        "softmax",
                                        "product Wo + add",
                                        "layernorm",
                                        "product Wfc + gelu",
                                        "product Wpr",
                                        "cross_entropy",
                                        "layer[0..2].p",
                                        "grad.layer[0..2].Wqkv",
                                        "gelu'",
                                        "adamw"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!strstr(text_string(&dot), words[i])) fail_msg("the graph lacks %s", words[i]);
        if (!strstr(text_string(&svg), words[i])) fail_msg("the picture lacks %s", words[i]);
    }
    arena_free(arena);
}

static void dot_is_a_graph(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Text dot = text_create(arena);
    draw_dot(plan_of(arena, 0, FUSE_OP), "a \"title\" \\ of two\nlines", &dot);
    const char *text = text_string(&dot);
    assert_int_equal(text_count(text, "{"), text_count(text, "}"));
    for (const char *edge = strstr(text, " -> n"); edge; edge = strstr(edge + 1, " -> n")) {
        char declared[40];
        snprintf(declared, sizeof declared, "\n      n%lu [fillcolor", strtoul(edge + 5, NULL, 10));
        if (!strstr(text, declared)) fail_msg("an edge leads to%s", declared);
    }
    assert_golden("draw_op.dot", text, arena);
    arena_free(arena);
}

static const char two_steps[] = "plan \"case\"\n"
                                "dim B=3 C=4 F=5\n"
                                "value %0 input f32[B,C] @ (B, C) \"x\" stored(B,C) arena+0 bytes 64\n"
                                "value %1 param f32[C,F] @ (C, F) \"w\" stored(C,F) init normal(1) state+0 bytes 128\n"
                                "value %2 temporary f32[B,F] @ (B, F) name \"a\" arena+64 bytes 64\n"
                                "value %3 output f32[B] @ (B) name \"y\" arena+128 bytes 64\n"
                                "step 0 product \"product\" at \"a\" tiles cut()/1 flops 120 bytes 188\n"
                                "  in %0 none, %1 none\n"
                                "  out %2\n"
                                "  region {\n"
                                "    %0 = operand f32[B,C] 0\n"
                                "    %1 = operand f32[C,F] 1\n"
                                "    %2 = contract f32[B,F] %0 %1 over(C)\n"
                                "    output \"a\" %2\n"
                                "  }\n"
                                "step 1 row \"sum\" at \"y\" tiles inner(F) cut()/1 flops 15 bytes 72\n"
                                "  in %2 same\n"
                                "  out %3\n"
                                "  region {\n"
                                "    %0 = operand f32[B,F] 0\n"
                                "    %1 = sum f32[B] %0 over(F)\n"
                                "    output \"y\" %1\n"
                                "  }\n"
                                "memory arena 192 state 128\n";

static void a_small_picture(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    const Plan *plan = plan_parse(arena, "two_steps", two_steps, diags);
    Text complaints = text_create(arena), svg = text_create(arena);
    diags_render(diags, &complaints);
    if (!plan) fail_msg("%s", text_string(&complaints));
    draw_svg(plan, "two steps", &svg);
    assert_null(xml_fault(text_string(&svg)));
    assert_golden("draw.svg", text_string(&svg), arena);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_well_formed),
        cmocka_unit_test(steps_are_folded),
        cmocka_unit_test(boxes_have_places_of_their_own),
        cmocka_unit_test(a_model_is_recognised),
        cmocka_unit_test(dot_is_a_graph),
        cmocka_unit_test(a_small_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
