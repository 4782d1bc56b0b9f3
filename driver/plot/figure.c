// Panels of curves from runs: see plot.h. Smoothing, thinning, ranges and ticks; nothing is drawn here.
#include <float.h>
#include <math.h>

#include "driver/plot/plot.h"

typedef struct {
    Arena *arena;
    const Run *runs;
    size_t run_count, columns;
    int64_t smooth;
    bool by_time;
    Axis x; // of all panels
} Request;

// ---- curves

typedef double Quantity(const RunStep *step);
static double loss_of(const RunStep *step) {
    return step->loss;
}
static double norm_of(const RunStep *step) {
    return step->grad_norm;
}
static double rate_of(const RunStep *step) {
    return step->tokens_per_second;
}

static double x_of(const Request *request, int64_t iteration, double seconds) {
    return request->by_time ? seconds : (double)iteration;
}

// The mean of the finite values among `smooth` iterations around step `at`; NAN where its own is not.
static double smoothed(const Request *request, const Run *run, Quantity *quantity, size_t at) {
    if (!isfinite(quantity(&run->steps[at]))) return NAN;
    size_t before = (size_t)(request->smooth - 1) / 2, after = (size_t)request->smooth / 2, count = 0;
    double sum = 0;
    for (size_t i = at > before ? at - before : 0; i < run->step_count && i <= at + after; i++) {
        if (!isfinite(quantity(&run->steps[i]))) continue;
        sum += quantity(&run->steps[i]);
        count++;
    }
    return sum / (double)count;
}

// Of each range of steps that falls on one column: one smoothed point, or the least and the largest of the raw ones.
static Curve steps_curve(const Request *request, size_t r, Quantity *quantity, CurveKind kind) {
    const Run *run = &request->runs[r];
    size_t stride = run->step_count / request->columns + 1;
    Curve curve = {
        .kind = kind, .run = r, .points = ARENA_ARRAY(request->arena, Point, 2 * (run->step_count / stride + 2))};
    size_t next;
    for (size_t i = 0; i < run->step_count; i = next) {
        next =
            i + stride < run->step_count || i + 1 == run->step_count ? i + stride : run->step_count - 1; // and the last
        double x = x_of(request, run->steps[i].iteration, run->steps[i].seconds);
        if (kind == CURVE_LINE) {
            curve.points[curve.count++] = (Point){x, smoothed(request, run, quantity, i)};
            continue;
        }
        double low = INFINITY, high = -INFINITY;
        for (size_t k = i; k < next && k < run->step_count; k++) {
            double value = quantity(&run->steps[k]);
            if (!isfinite(value)) continue;
            low = fmin(low, value);
            high = fmax(high, value);
        }
        curve.points[curve.count++] = (Point){x, low <= high ? low : NAN};
        if (high > low) curve.points[curve.count++] = (Point){x, high};
    }
    return curve;
}

static Curve evaluations_curve(const Request *request, size_t r) {
    const Run *run = &request->runs[r];
    Curve curve = {.kind = CURVE_MARKED, .run = r, .points = ARENA_ARRAY(request->arena, Point, run->evaluation_count)};
    for (size_t i = 0; i < run->evaluation_count; i++) {
        const RunEvaluation *evaluation = &run->evaluations[i];
        curve.points[curve.count++] =
            (Point){x_of(request, evaluation->iteration, evaluation->seconds), evaluation->validation_loss};
    }
    return curve;
}

static bool curve_is_seen(const Curve *curve) {
    for (size_t i = 0; i < curve->count; i++)
        if (isfinite(curve->points[i].y)) return true;
    return false;
}

// ---- axes

enum { TICKS = 5 };

// Heckbert, "Nice numbers for graph labels", Graphics Gems (1990): ticks at 1, 2 or 5 times a power of ten.
static double nice_step(double range) {
    double rough = range / TICKS, power = pow(10, floor(log10(rough))), fraction = rough / power;
    return (fraction < 1.5 ? 1 : fraction < 3.5 ? 2 : fraction < 7.5 ? 5 : 10) * power;
}

static Axis axis_of(double low, double high, bool whole_steps) {
    if (!(low <= high)) low = high = 0;
    if (high - low < 1e-9 * fmax(fabs(low), fabs(high)) || high == low) {
        double half = fmax(0.5 * fabs(low), whole_steps ? 0.5 : 1e-9);
        low -= half;
        high += half;
    }
    Axis axis = {.step = nice_step(high - low)};
    if (whole_steps && axis.step < 1) axis.step = 1;
    axis.low = whole_steps ? low : axis.step * floor(low / axis.step + 1e-9);
    axis.high = whole_steps ? high : axis.step * ceil(high / axis.step - 1e-9);
    return axis;
}

// What leaves the range of the lines, raw, is cut off.
static Axis value_axis(const Panel *panel) {
    double low = DBL_MAX, high = -DBL_MAX;
    for (size_t c = 0; c < panel->curve_count; c++) {
        const Curve *curve = &panel->curves[c];
        for (size_t i = 0; curve->kind != CURVE_RAW && i < curve->count; i++) {
            if (!isfinite(curve->points[i].y)) continue;
            low = fmin(low, curve->points[i].y);
            high = fmax(high, curve->points[i].y);
        }
    }
    return axis_of(low, high, false);
}

static Axis iteration_axis(const Request *request) {
    double low = DBL_MAX, high = -DBL_MAX;
    for (size_t r = 0; r < request->run_count; r++) {
        const Run *run = &request->runs[r];
        for (size_t i = 0; i < run->step_count; i++) {
            low = fmin(low, x_of(request, run->steps[i].iteration, run->steps[i].seconds));
            high = fmax(high, x_of(request, run->steps[i].iteration, run->steps[i].seconds));
        }
        for (size_t i = 0; i < run->evaluation_count; i++) {
            low = fmin(low, x_of(request, run->evaluations[i].iteration, run->evaluations[i].seconds));
            high = fmax(high, x_of(request, run->evaluations[i].iteration, run->evaluations[i].seconds));
        }
    }
    return axis_of(low, high, !request->by_time);
}

const char *figure_tick(Arena *arena, const Axis *axis, double value) {
    double largest = fmax(fabs(axis->low), fabs(axis->high)), unit = 1;
    const char *suffix = "";
    static const struct {
        double unit;
        const char *suffix;
    } units[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
    for (int i = 0; i < 3 && unit == 1; i++) {
        if (largest < 10 * units[i].unit) continue;
        unit = units[i].unit;
        suffix = units[i].suffix;
    }
    double step = axis->step / unit;
    int digits = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    if (fabs(value) < 1e-6 * axis->step) value = 0;
    return arena_format(arena, "%.*f%s", digits > 9 ? 9 : digits, value / unit, value == 0 ? "" : suffix);
}

// ---- the figure

static void add_panel(const Request *request, Figure *figure, const char *title, Quantity *quantity, bool evaluations) {
    Panel panel = {.title = title, .curves = ARENA_ARRAY(request->arena, Curve, 3 * request->run_count)};
    for (int kind = CURVE_RAW; kind <= CURVE_MARKED; kind++) {
        if ((kind == CURVE_RAW && request->smooth < 2) || (kind == CURVE_MARKED && !evaluations)) continue;
        for (size_t r = 0; r < request->run_count; r++) {
            Curve curve = kind == CURVE_MARKED ? evaluations_curve(request, r)
                                               : steps_curve(request, r, quantity, (CurveKind)kind);
            if (curve_is_seen(&curve)) panel.curves[panel.curve_count++] = curve;
        }
    }
    if (panel.curve_count == 0) return;
    panel.x = request->x;
    panel.y = value_axis(&panel);
    figure->panels[figure->panel_count++] = panel;
}

Figure figure_create(Arena *arena, const Run *runs, size_t count, int64_t smooth, bool by_time, size_t columns) {
    size_t longest = 0;
    for (size_t r = 0; r < count; r++)
        longest = runs[r].step_count > longest ? runs[r].step_count : longest;
    if (smooth <= 0) smooth = (int64_t)(longest / 100) + 1;
    Request request = {
        .arena = arena, .runs = runs, .run_count = count, .columns = columns, .smooth = smooth, .by_time = by_time};
    request.x = iteration_axis(&request);
    Figure figure = {.runs = runs,
                     .run_count = count,
                     .x_title = by_time ? "seconds of training" : "iteration",
                     .smooth = smooth,
                     .panels = ARENA_ARRAY(arena, Panel, 3)};
    add_panel(&request, &figure, "loss", loss_of, true);
    add_panel(&request, &figure, "gradient norm", norm_of, false);
    add_panel(&request, &figure, "tokens per second", rate_of, false);
    return figure;
}

char figure_mark(size_t run) {
    static const char marks[] = "*o+x#@%&";
    return marks[run % (sizeof marks - 1)];
}

const char *figure_note(const Figure *figure, Arena *arena) {
    bool has_lines = false, has_marks = false;
    for (size_t p = 0; p < figure->panel_count; p++)
        for (size_t c = 0; c < figure->panels[p].curve_count; c++) {
            has_lines = has_lines || figure->panels[p].curves[c].kind == CURVE_LINE;
            has_marks = has_marks || figure->panels[p].curves[c].kind == CURVE_MARKED;
        }
    const char *lines = figure->smooth > 1
                            ? arena_format(arena, "line: mean of %lld iterations", (long long)figure->smooth)
                            : "line: every iteration, not smoothed";
    return arena_format(arena, "%s%s%s", has_lines ? lines : "", has_lines && has_marks ? "; " : "",
                        has_marks ? "points: validation loss" : "");
}
