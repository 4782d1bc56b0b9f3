// Texts of plans with sweeps (see sweep_text.h).
#include "tests/cuda/sweep_text.h"

#include <string.h>

#include "base/text.h"

enum { MOST_VALUES = 64, NO_NODE = -1 };

typedef struct {
    Arena *arena;
    const SweepCase *how;
    Text out;
    int values, steps;
    bool is_input[MOST_VALUES];
    // The step under way: its region, what it reads, and the node of each value that it reads.
    Text region, in, written;
    int nodes, operand_count, node_of[MOST_VALUES];
    int q, k, v, t, dy, lse, delta, bias, seed, step, micro, y;   // values
} Writer;

static int either(int given, int usual) { return given ? given : usual; }
static const char *half(const SweepCase *how) { return how->in_f16 ? "f16" : "bf16"; }

// ---- values

// %3 temporary bf16[B,T,H,D] @ (B, T, H, D) rest
static int add_value(Writer *w, const char *kind, const char *type, const char *dims, const char *rest) {
    text_append(&w->out, "value %%%d %s %s[%s] @ (%s) %s\n", w->values, kind, type, dims, dims, rest);
    return w->values++;
}

static int add_input(Writer *w, const char *name, const char *type, const char *dims) {
    w->is_input[w->values] = true;
    return add_value(w, "input", type, dims, arena_format(w->arena, "\"%s\" stored(%s)", name, dims));
}

static int add_output(Writer *w, const char *name, const char *dims) {
    return add_value(w, "output", "f32", dims, arena_format(w->arena, "name \"%s\"", name));
}

// ---- steps

static void begin_step(Writer *w) {
    w->region = text_create(w->arena);
    w->in = text_create(w->arena);
    w->written = text_create(w->arena);
    w->nodes = w->operand_count = 0;
    for (int i = 0; i < MOST_VALUES; i++) w->node_of[i] = NO_NODE;
}

// A node of the region: its number.
static int node(Writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int node(Writer *w, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    text_append(&w->region, "    %%%d = ", w->nodes);
    text_append_list(&w->region, format, arguments);
    text_append(&w->region, "\n");
    va_end(arguments);
    return w->nodes++;
}

static int operand(Writer *w, int value, const char *type, const char *dims) {
    if (w->node_of[value] != NO_NODE) return w->node_of[value];
    text_append(&w->in, "%s%%%d %s", w->operand_count ? ", " : "", value, w->is_input[value] ? "none" : "all");
    return w->node_of[value] = node(w, "operand %s[%s] %d", type, dims, w->operand_count++);
}

static void writes(Writer *w, int value, int from) {
    text_append(&w->region, "    output \"%d\" %%%d\n", value, from);
    text_append(&w->written, "%s%%%d", w->written.length ? ", " : "", value);
}

static void end_step(Writer *w, const char *form, const char *how) {
    text_append(&w->out, "step %d %s \"%s\" at \"\" tiles%s\n  in %s\n  out %s\n  region {\n%s  }\n", w->steps++, form,
                form, how, text_string(&w->in), text_string(&w->written), text_string(&w->region));
}

static void copy(Writer *w, int from, int to, const char *dims) {
    begin_step(w);
    writes(w, to, operand(w, from, "f32", dims));
    end_step(w, "map", " cut()/1 wait");
}

// An input, and the temporary value in 16 bits that a map makes of it.
static int add_half(Writer *w, const char *name, const char *dims) {
    int input = add_input(w, name, "f32", dims);
    int value = add_value(w, "temporary", half(w->how), dims, "");
    copy(w, input, value, dims);
    return value;
}

// ---- dims, as memory has them

static const char *heads(const Writer *w) { return w->how->shared_keys ? "H,R" : "H"; }
static const char *small_dims(const Writer *w) { return arena_format(w->arena, "B,%s,T", heads(w)); }
static const char *tile_dims(const Writer *w) { return arena_format(w->arena, "B,%s,T,S", heads(w)); }

// Of a matrix for each place, rows T or S: [B,T,H,D]
static const char *matrix_dims(const Writer *w, char rows, char lanes) {
    const char *places = rows == 'S' ? "H" : heads(w);
    if (w->how->heads_first) return arena_format(w->arena, "B,%s,%c,%c", places, rows, lanes);
    return arena_format(w->arena, "B,%c,%s,%c", rows, places, lanes);
}

static char lanes_of(const Writer *w) { return w->how->in_one ? 'D' : 'E'; }

// ---- what sweeps compute

static int selected(Writer *w, int place, bool is_of_keys) {
    int whole = operand(w, w->t, "f32", "B,T,Z,H,D");
    int part = node(w, "select f32[B,T,H,D] %%%d from Z at %d", whole, place);
    return is_of_keys ? node(w, "rename f32[B,S,H,D] %%%d from T to S", part) : part;
}

static int queries(Writer *w) {
    return w->how->in_one ? selected(w, 0, false) : operand(w, w->q, "f32", matrix_dims(w, 'T', 'D'));
}
static int keys(Writer *w) {
    return w->how->in_one ? selected(w, 1, true) : operand(w, w->k, "f32", matrix_dims(w, 'S', 'D'));
}
static int values(Writer *w) {
    return w->how->in_one ? selected(w, 2, true) : operand(w, w->v, "f32", matrix_dims(w, 'S', 'E'));
}
static int gradients(Writer *w) { return operand(w, w->dy, "f32", matrix_dims(w, 'T', lanes_of(w))); }

static int number(Writer *w, const char *value) { return node(w, "const f32[] %s", value); }

static int of_two(Writer *w, const char *op, int a, int b) {
    return node(w, "%s f32[%s] %%%d %%%d", op, tile_dims(w), a, b);
}

// NO_NODE without one.
static int mask(Writer *w) {
    SweepMask which = w->how->mask;
    if (which == MASK_NONE) return NO_NODE;
    int key = node(w, "index i32[S]"), query = node(w, "index i32[T]");
    if (which == MASK_STRICT) return node(w, "lt bool[S,T] %%%d %%%d", key, query);
    if (which == MASK_LATER) return node(w, "le bool[S,T] %%%d %%%d", query, key);
    int before = node(w, "le bool[S,T] %%%d %%%d", key, query);
    if (which == MASK_CAUSAL) return before;
    int distance = node(w, "sub i32[S,T] %%%d %%%d", query, key), most = node(w, "const i32[] %d", SWEEP_WINDOW);
    int near = node(w, "le bool[S,T] %%%d %%%d", distance, most);
    return node(w, "and bool[S,T] %%%d %%%d", before, near);
}

static const char *band(const Writer *w) {
    if (w->how->no_band || w->how->mask == MASK_NONE) return "";
    switch (w->how->mask) {
    case MASK_CAUSAL: return w->how->band_turned ? " band(S, T) from 0" : " band(T, S) to 0";
    case MASK_STRICT: return w->how->band_turned ? " band(S, T) from 1" : " band(T, S) to -1";
    case MASK_LATER: return w->how->band_turned ? " band(S, T) to 0" : " band(T, S) from 0";
    default: return w->how->band_turned ? " band(S, T) from 0 to 40" : " band(T, S) from -40 to 0";
    }
}

static int masked(Writer *w, int visible, int tile, const char *otherwise) {
    if (visible == NO_NODE) return tile;
    int other = number(w, otherwise);
    return node(w, "where f32[%s] %%%d %%%d %%%d", tile_dims(w), visible, tile, other);
}

// What both directions make of queries and keys.
typedef struct {
    int visible, cap;   // NO_NODE: none
    int scores;
} Tile;

static int scale(Writer *w) { return number(w, w->how->steep ? "0.5" : "0.125"); }

static Tile make_scores(Writer *w) {
    int q = queries(w), k = keys(w);
    int product = node(w, "contract f32[%s] %%%d %%%d over(D)", tile_dims(w), q, k);
    Tile tile = {.visible = mask(w), .cap = NO_NODE, .scores = of_two(w, "mul", product, scale(w))};
    if (w->how->biased) {
        int bias = operand(w, w->bias, "f32", "H,T,S");
        tile.scores = of_two(w, "add", tile.scores, bias);
    }
    if (w->how->capped) {
        int cap = number(w, "30"), part = of_two(w, "div", tile.scores, cap);
        tile.cap = node(w, "tanh f32[%s] %%%d", tile_dims(w), part);
        tile.scores = of_two(w, "mul", cap, tile.cap);
    }
    if (w->how->scores == SCORES_SOFTMAX) tile.scores = masked(w, tile.visible, tile.scores, "-inf");
    return tile;
}

// `lse`: a node, of softmax.
static int make_weights(Writer *w, const Tile *tile, int lse) {
    if (w->how->scores == SCORES_PLAIN) return masked(w, tile->visible, tile->scores, "0");
    if (w->how->scores == SCORES_SOFTMAX)
        return node(w, "exp f32[%s] %%%d", tile_dims(w), of_two(w, "sub", tile->scores, lse));
    int one = number(w, "1"), less = node(w, "neg f32[%s] %%%d", tile_dims(w), tile->scores);
    int power = node(w, "exp f32[%s] %%%d", tile_dims(w), less);
    return masked(w, tile->visible, of_two(w, "div", one, of_two(w, "add", power, one)), "0");
}

static int dropped(Writer *w, int tile) {
    if (!w->how->dropped) return tile;
    int seed = operand(w, w->seed, "i32", ""), step = operand(w, w->step, "i32", "");
    int micro = operand(w, w->micro, "i32", "");
    int drawn = node(w, "random f32[%s] %%%d %%%d %%%d \"drop\"", tile_dims(w), seed, step, micro);
    int stays = node(w, "lt bool[%s] %%%d %%%d", tile_dims(w), drawn, number(w, "0.8"));
    return masked(w, stays, of_two(w, "mul", tile, number(w, "1.25")), "0");
}

static int outer(Writer *w, const char *dims, int tile, int lanes, const char *over) {
    return node(w, "contract f32[%s] %%%d %%%d over(%s)", dims, tile, lanes, over);
}

// ---- the sweeps

static void end_sweep(Writer *w, char swept) {
    end_step(w, "sweep", arena_format(w->arena, " inner(%c)%s cut()/1 wait tensor %s %d by %d stages %d", swept,
                                      band(w), half(w->how), either(w->how->rows, 64), either(w->how->columns, 64),
                                      either(w->how->stages, 2)));
}

static void write_forward(Writer *w) {
    const SweepCase *how = w->how;
    const char *dims = matrix_dims(w, 'T', lanes_of(w));
    bool has_lse = how->scores == SCORES_SOFTMAX, keeps_lse = has_lse && !how->without_lse;
    int y = how->half_result ? NO_NODE : (w->y = add_output(w, "y", dims));
    int rounded = how->half_result || how->both_results ? add_value(w, "temporary", half(how), dims, "") : NO_NODE;
    if (keeps_lse) w->lse = add_output(w, "lse", small_dims(w));
    begin_step(w);
    Tile tile = make_scores(w);
    int lse = has_lse ? node(w, "lse f32[%s] %%%d over(S)", small_dims(w), tile.scores) : NO_NODE;
    int weights = dropped(w, make_weights(w, &tile, lse)), lanes = values(w);
    int result = outer(w, dims, weights, lanes, "S");
    if (y != NO_NODE) writes(w, y, result);
    if (rounded != NO_NODE) writes(w, rounded, result);
    if (keeps_lse) writes(w, w->lse, lse);
    end_sweep(w, 'S');
    if (rounded != NO_NODE) copy(w, rounded, add_output(w, "y in 16 bits", dims), dims);
}

// The sum of dy times y over lanes.
static void write_delta(Writer *w) {
    const char *dims = matrix_dims(w, 'T', lanes_of(w));
    w->delta = add_output(w, "delta", small_dims(w));
    begin_step(w);
    int y = operand(w, w->y, "f32", dims), dy = operand(w, w->dy, "f32", dims);
    int product = node(w, "mul f32[%s] %%%d %%%d", dims, y, dy);
    writes(w, w->delta, node(w, "sum f32[%s] %%%d over(%c)", small_dims(w), product, lanes_of(w)));
    end_step(w, "row", arena_format(w->arena, " inner(%c) cut()/1 wait", lanes_of(w)));
}

// The gradient of what queries and keys were multiplied to. `weights`: not dropped.
static int make_gradient(Writer *w, const Tile *tile, int weights) {
    int dy = gradients(w), v = values(w), result;
    int product = node(w, "contract f32[%s] %%%d %%%d over(%c)", tile_dims(w), dy, v, lanes_of(w));
    int own = dropped(w, product);
    if (w->how->scores == SCORES_SOFTMAX) {
        int delta = operand(w, w->delta, "f32", small_dims(w));
        result = of_two(w, "mul", weights, of_two(w, "sub", own, delta));
    } else if (w->how->scores == SCORES_SIGMOID) {
        int rest = of_two(w, "sub", number(w, "1"), weights);
        result = of_two(w, "mul", own, of_two(w, "mul", weights, rest));
    } else {
        result = masked(w, tile->visible, own, "0");
    }
    if (tile->cap != NO_NODE) {
        int square = of_two(w, "mul", tile->cap, tile->cap);
        result = of_two(w, "mul", result, of_two(w, "sub", number(w, "1"), square));
    }
    return of_two(w, "mul", result, scale(w));
}

static void write_backward(Writer *w, bool is_of_keys) {
    const char *dims = matrix_dims(w, is_of_keys ? 'S' : 'T', 'D');
    const char *value_dims = matrix_dims(w, 'S', lanes_of(w));
    int dv = is_of_keys ? add_output(w, "dv", value_dims) : NO_NODE;
    int result = add_output(w, is_of_keys ? "dk" : "dq", dims);
    begin_step(w);
    int lse = w->how->scores == SCORES_SOFTMAX ? operand(w, w->lse, "f32", small_dims(w)) : NO_NODE;
    bool needs_scores = is_of_keys || w->how->scores != SCORES_PLAIN;
    Tile tile = {.visible = NO_NODE, .cap = NO_NODE};
    if (needs_scores) tile = make_scores(w);
    else tile.visible = mask(w);
    int weights = needs_scores ? make_weights(w, &tile, lse) : NO_NODE;
    const char *over = !is_of_keys ? "S" : w->how->shared_keys ? "R,T" : "T";
    if (is_of_keys) writes(w, dv, outer(w, value_dims, dropped(w, weights), gradients(w), over));
    int gradient = make_gradient(w, &tile, weights), lanes = is_of_keys ? queries(w) : keys(w);
    writes(w, result, outer(w, dims, gradient, lanes, over));
    end_sweep(w, is_of_keys ? 'T' : 'S');
}

// ---- the plan

static void write_given(Writer *w) {
    const SweepCase *how = w->how;
    bool is_backward = how->parts != SWEEP_FORWARD, has_forward = how->parts & SWEEP_FORWARD;
    if (how->in_one) {
        w->t = add_half(w, "t", "B,T,Z,H,D");
    } else {
        w->q = add_half(w, "q", matrix_dims(w, 'T', 'D'));
        w->k = add_half(w, "k", matrix_dims(w, 'S', 'D'));
        w->v = add_half(w, "v", matrix_dims(w, 'S', 'E'));
    }
    if (is_backward) w->dy = add_half(w, "dy", matrix_dims(w, 'T', lanes_of(w)));
    if (is_backward && !has_forward && how->scores == SCORES_SOFTMAX) {
        w->lse = add_input(w, "lse", "f32", small_dims(w));
        w->delta = add_input(w, "delta", "f32", small_dims(w));
    }
    if (how->biased) w->bias = add_input(w, "bias", "f32", "H,T,S");
    if (!how->dropped) return;
    w->seed = add_input(w, "seed", "i32", "");
    w->step = add_input(w, "step", "i32", "");
    w->micro = add_input(w, "micro", "i32", "");
}

const char *sweep_text(Arena *arena, const SweepCase *how) {
    Writer writer = {.arena = arena, .how = how, .out = text_create(arena)}, *w = &writer;
    text_append(&w->out, "plan \"sweeps\"\ndim B=%d H=%d R=2 T=%d S=%d Z=3 D=%d E=%d\n", either(how->batch, 1),
                either(how->heads, 2), either(how->queries, 128), either(how->keys, 128), either(how->width, 64),
                either(how->lanes, 64));
    write_given(w);
    if (how->parts & SWEEP_FORWARD) write_forward(w);
    if (how->parts != SWEEP_FORWARD && how->parts & SWEEP_FORWARD && how->scores == SCORES_SOFTMAX) write_delta(w);
    if (how->parts & SWEEP_QUERIES) write_backward(w, false);
    if (how->parts & SWEEP_KEYS) write_backward(w, true);
    return text_string(&w->out);
}
