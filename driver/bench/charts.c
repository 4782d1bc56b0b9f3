// The report's charts with axes. Their boxes are 420 wide, near the size at which they are shown on a phone and in one
// of two columns on a desk, so that their texts keep their size.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "driver/bench/page.h"
#include "driver/explain/explain.h"

enum { WIDTH = 420, HEIGHT = 300, LEFT = 46, RIGHT = 12, TOP = 14, BOTTOM = 40, MOST_LABELS = 5, MOST_DISCS = 200 };

// From values to places in the chart; with `log`, by decades.
typedef struct {
    double low, high; // log10 of the ends with `log`
    double from, to;  // places
    bool log;
} Axis;

static double place(const Axis *axis, double value) {
    double at = axis->log ? log10(value) : value;
    return axis->from + (axis->to - axis->from) * (at - axis->low) / (axis->high - axis->low);
}

static void open_chart(Text *out, const char *label) {
    text_append(out, "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    page_escaped(out, label);
    text_append(out, "\">");
}

static void line(Text *out, const char *class, double x1, double y1, double x2, double y2) {
    text_append(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", class, x1, y1, x2, y2);
}

static void words(Text *out, const char *class, const char *anchor, double x, double y, const char *text) {
    text_append(out, "<text class=\"%s\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">", class, anchor, x, y);
    page_escaped(out, text);
    text_append(out, "</text>");
}

// ---- roofline (Williams, Waterman and Patterson, Communications of the ACM 52(4), 2009)

// What is already there: discs and the names beside them.
typedef struct {
    struct {
        double x, y, radius;
    } discs[MOST_DISCS];
    struct {
        double x, y, width;
    } names[MOST_LABELS];
    int disc_count, name_count;
} Taken;

static double intensity(const BoxFigure *box) {
    return box->flops / box->bytes;
}
static double rate(const BoxFigure *box) {
    return box->flops / box->seconds;
}
static bool is_point(const BoxFigure *box) {
    return box->flops > 0 && box->bytes > 0 && box->seconds > 0;
}

static void widen(Axis *axis, double value) {
    axis->low = fmin(axis->low, floor(log10(value)));
    axis->high = fmax(axis->high, ceil(log10(value)));
}

static void decades(Text *out, const Axis *x, const Axis *y) {
    for (double d = x->low; d <= x->high; d++) {
        double at = place(x, pow(10, d));
        line(out, "grid", at, y->to, at, y->from);
        words(out, "tick", "middle", at, y->from + 14, arena_format(out->arena, "%g", pow(10, d)));
    }
    for (double d = y->low; d <= y->high; d++) {
        double at = place(y, pow(10, d));
        line(out, "grid", x->from, at, x->to, at);
        words(out, "tick", "end", x->from - 6, at + 4, arena_format(out->arena, "%g", pow(10, d - 9)));
    }
    words(out, "axis", "middle", (x->from + x->to) / 2, HEIGHT - 8, "flops for each byte that the box reads or writes");
    words(out, "axis", "start", 2, TOP - 3, "GFLOP/s");
}

static void roofs(Text *out, const Machine *machine, const Axis *x, const Axis *y) {
    double ridge = machine->peak_flops / machine->read_bandwidth, left = pow(10, x->low);
    double low = fmax(left, pow(10, y->low) / machine->read_bandwidth); // where the slope enters the chart
    line(out, "roof", place(x, low), place(y, low * machine->read_bandwidth), place(x, ridge),
         place(y, machine->peak_flops));
    line(out, "roof", place(x, ridge), place(y, machine->peak_flops), x->to, place(y, machine->peak_flops));
    words(out, "note", "end", x->to - 2, place(y, machine->peak_flops) - 5,
          arena_format(out->arena, "peak %.0f GFLOP/s", 1e-9 * machine->peak_flops));
    words(out, "note", "start", place(x, low) + 24, place(y, low * machine->read_bandwidth) - 3,
          arena_format(out->arena, "memory %.0f GB/s", 1e-9 * machine->read_bandwidth));
}

static int slower_first(const void *left, const void *right) {
    double a = (*(const BoxFigure *const *)left)->seconds, b = (*(const BoxFigure *const *)right)->seconds;
    return (a < b) - (a > b);
}

// Room for a text of `width` whose line begins at x, y.
static bool is_free(const Taken *taken, double x, double y, double width) {
    if (x < LEFT + 2 || x + width > WIDTH - RIGHT || y > HEIGHT - BOTTOM - 3 || y < TOP + 14) return false;
    for (int i = 0; i < taken->name_count; i++)
        if (fabs(taken->names[i].y - y) < 13 && x < taken->names[i].x + taken->names[i].width + 4 &&
            taken->names[i].x < x + width + 4)
            return false;
    for (int i = 0; i < taken->disc_count; i++) {
        double near_x = fmin(fmax(taken->discs[i].x, x), x + width),
               near_y = fmin(fmax(taken->discs[i].y, y - 9), y + 2);
        if (hypot(taken->discs[i].x - near_x, taken->discs[i].y - near_y) < taken->discs[i].radius + 1) return false;
    }
    return true;
}

// The name of a disc beside it, or where there is room below, with a thin line to it.
static void name_disc(Text *out, const BoxFigure *box, int disc, Taken *taken) {
    static const double downs[] = {4, 24, 40, 56, 72, 88, 104};
    if (taken->name_count == MOST_LABELS) return;
    const char *name = explain_fit(out->arena, box->place, 26);
    double at_x = taken->discs[disc].x, at_y = taken->discs[disc].y, radius = taken->discs[disc].radius;
    double width = 5.9 * (double)strlen(name);
    for (size_t k = 0; k < 2 * sizeof downs / sizeof *downs; k++) {
        bool left = k % 2;
        double x = left ? at_x - radius - 4 - width : at_x + radius + 4, y = at_y + downs[k / 2];
        if (!is_free(taken, x, y, width)) continue;
        if (k >= 2) line(out, "lead", at_x, at_y, left ? x + width + 2 : x - 2, y - 4);
        words(out, "name", "start", x, y, name);
        taken->names[taken->name_count].x = x;
        taken->names[taken->name_count].y = y;
        taken->names[taken->name_count++].width = width;
        return;
    }
}

static void disc(Text *out, const BoxFigure *box, double x, double y, double radius) {
    text_append(out, "<circle class=\"box-%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>", box->form, x, y, radius);
    page_escaped(out, arena_format(out->arena, "%s %s x %u: %.3f ms, %.1f GFLOP/s, %.1f flops a byte", box->label,
                                   box->place, box->count, 1e3 * box->seconds, 1e-9 * rate(box), intensity(box)));
    text_append(out, "</title></circle>");
}

void page_roofline(Text *out, const Machine *machine, const Variant *variant) {
    Axis x = {0, 2, LEFT, WIDTH - RIGHT, true}, y = {10, 11, HEIGHT - BOTTOM, TOP + 4, true};
    const BoxFigure **points = ARENA_ARRAY(out->arena, const BoxFigure *, variant->box_count + 1);
    size_t count = 0;
    double total = 0;
    for (size_t i = 0; i < variant->box_count; i++) {
        const BoxFigure *box = &variant->boxes[i];
        if (!is_point(box)) continue;
        points[count++] = box;
        total += box->seconds;
        widen(&x, intensity(box));
        widen(&y, rate(box));
    }
    widen(&x, machine->peak_flops / machine->read_bandwidth);
    widen(&y, 1.5 * machine->peak_flops);
    qsort(points, count, sizeof *points, slower_first);
    open_chart(out, arena_format(out->arena, "roofline of %s", variant->name));
    decades(out, &x, &y);
    roofs(out, machine, &x, &y);
    Taken taken = {0};
    for (size_t i = 0; i < count; i++) {
        double at_x = place(&x, intensity(points[i])), at_y = place(&y, rate(points[i]));
        double radius = 2.5 + 13 * sqrt(points[i]->seconds / total);
        disc(out, points[i], at_x, at_y, radius);
        if (taken.disc_count == MOST_DISCS) continue;
        taken.discs[taken.disc_count].x = at_x;
        taken.discs[taken.disc_count].y = at_y;
        taken.discs[taken.disc_count++].radius = radius;
    }
    for (int i = 0; i < taken.disc_count && i < 2 * MOST_LABELS; i++)
        name_disc(out, points[i], i, &taken);
    text_append(out, "</svg>");
}

// ---- memory over the step

static double largest_alive(const Bench *bench) {
    double largest = 1;
    for (size_t i = 0; i < bench->variant_count; i++)
        for (size_t s = 0; s < bench->variants[i].alive_count; s++)
            largest = fmax(largest, bench->variants[i].alive[s]);
    return largest;
}

// A round number of at least a fourth of `largest`: 1, 2, 2.5 or 5 times a power of ten.
static double tick_of(double largest) {
    static const double steps[] = {1, 2, 2.5, 5, 10};
    double power = pow(10, floor(log10(largest / 4)));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i] * power >= largest / 4) return steps[i] * power;
    return 10 * power;
}

static void outline(Text *out, const Variant *variant, const Axis *x, const Axis *y) {
    text_append(out, "<path class=\"line-%s\" d=\"", fuse_name(variant->fuse));
    double count = (double)variant->alive_count, peak = 0, peak_at = 0;
    for (size_t s = 0; s < variant->alive_count; s++) {
        double from = place(x, (double)s / count), to = place(x, (double)(s + 1) / count),
               at = place(y, variant->alive[s]);
        text_append(out, "%c%.1f %.1fH%.1f", s ? 'L' : 'M', from, at, to);
        if (variant->alive[s] <= peak) continue;
        peak = variant->alive[s];
        peak_at = (from + to) / 2;
    }
    text_append(out, "\"/>");
    words(out, arena_format(out->arena, "name text-%s", fuse_name(variant->fuse)),
          peak_at > WIDTH / 2 ? "end" : "start", peak_at, place(y, peak) - 5,
          arena_format(out->arena, "%s %.3g MB", variant->name, 1e-6 * peak));
}

void page_memory(Text *out, const Bench *bench) {
    double largest = largest_alive(bench), tick = tick_of(largest);
    Axis x = {0, 1, LEFT, WIDTH - RIGHT, false}, y = {0, 1.08 * largest, HEIGHT - BOTTOM, TOP + 4, false};
    open_chart(out, "memory over the step");
    for (double at = 0; at <= y.high; at += tick) {
        line(out, "grid", x.from, place(&y, at), x.to, place(&y, at));
        words(out, "tick", "end", x.from - 6, place(&y, at) + 4, arena_format(out->arena, "%g", 1e-6 * at));
    }
    words(out, "tick", "start", x.from, y.from + 14, "first step");
    words(out, "tick", "end", x.to, y.from + 14, "last step");
    words(out, "axis", "start", 2, TOP - 3, "MB alive");
    words(out, "axis", "middle", (x.from + x.to) / 2, HEIGHT - 8,
          "through the steps of the plan: forward, backward, update");
    for (size_t i = 0; i < bench->variant_count; i++)
        if (bench->variants[i].role == ROLE_LEVEL && bench->variants[i].alive_count > 0)
            outline(out, &bench->variants[i], &x, &y);
    text_append(out, "</svg>");
}
