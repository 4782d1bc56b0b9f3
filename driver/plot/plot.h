// Curves of trainings: metrics files in, pictures out.
//
//     {"iter":10,"loss":3.21,"grad_norm":1.5,"lr":0.0001,"ms":7.91,"tok_s":97100}      loss      | *
//     {"iter":20,"train_loss":2.9,"val_loss":3.0}                                  ->            |   *  *
#ifndef SINTER_DRIVER_PLOT_H
#define SINTER_DRIVER_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/text.h"

// ---- read.c: a run from its metrics

typedef struct {
    int64_t iteration;
    double seconds;                            // of all iterations up to this one
    double loss, grad_norm, tokens_per_second; // NAN: not in the file, or not finite
} RunStep;

typedef struct {
    int64_t iteration;
    double seconds, train_loss, validation_loss;
} RunEvaluation;

typedef struct {
    const char *name;
    RunStep *steps;
    RunEvaluation *evaluations;
    size_t step_count, evaluation_count;
    bool is_cut; // the last line is not whole: a run that was killed, or still writes
} Run;

// `path`: a metrics file, or the out_dir of a training. Where a resumed run repeats iterations, the later ones stand.
// False with a diagnostic that names file and line.
bool run_read(Arena *arena, const char *path, Run *run, Diags *diags);

// ---- figure.c: panels of curves, before anything is drawn

typedef struct {
    double x, y; // y NAN: a gap
} Point;

typedef enum { CURVE_RAW, CURVE_LINE, CURVE_MARKED } CurveKind; // RAW: the noise behind a smoothed line

typedef struct {
    CurveKind kind;
    size_t run;
    Point *points; // ascending x
    size_t count;
} Curve;

typedef struct {
    double low, high, step; // ticks at multiples of `step`
} Axis;

typedef struct {
    const char *title; // "loss"
    Curve *curves;
    size_t curve_count;
    Axis x, y;
} Panel;

typedef struct {
    const Run *runs;
    size_t run_count;
    const char *x_title; // "iteration"
    int64_t smooth;      // lines are means over so many iterations; 1: none
    Panel *panels;
    size_t panel_count;
} Figure;

// `smooth` 0: a hundredth of the longest run. With `by_time` x is seconds of training. At most `columns` points a
// curve.
Figure figure_create(Arena *arena, const Run *runs, size_t count, int64_t smooth, bool by_time, size_t columns);
// "12.5k", "0.02": a tick of this axis.
const char *figure_tick(Arena *arena, const Axis *axis, double value);
// How curves of a run are drawn when there is no colour: "*", "o" ...
char figure_mark(size_t run);
// "line: mean of 20 iterations; points: validation loss".
const char *figure_note(const Figure *figure, Arena *arena);

// ---- pictures

// svg.c: one self-contained <svg>, which follows the light or dark scheme of where it is shown.
void plot_svg(const Figure *figure, Text *out);

// terminal.c
typedef struct {
    int columns;
    bool braille; // else plain ASCII
    bool colour;
} Terminal;
void plot_terminal(const Figure *figure, const Terminal *terminal, Text *out);

#endif
