// A figure as lines of text: see plot.h. Each character cell has 2 x 4 dots of braille, or one ASCII mark.
//
//     loss
//     4.0 |*
//     3.0 | **
//     2.0 |   ****o
//         +--------
//          0     100  iteration
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "driver/plot/plot.h"

enum { MARGIN = 9, ROWS = 12, LEAST_COLUMNS = 20, DOTS_X = 2, DOTS_Y = 4 };

typedef struct {
    const Terminal *terminal;
    const Panel *panel;
    int columns;         // of the plotting area
    int dots_x, dots_y;  // of a cell
    unsigned char *dots; // by cell: bits of braille, or 1
    unsigned char *run;  // by cell: the run that drew there last, plus 1
} Canvas;

static void set_dot(Canvas *canvas, int x, int y, size_t run) {
    if (x < 0 || y < 0 || x >= canvas->columns * canvas->dots_x || y >= ROWS * canvas->dots_y) return;
    // Unicode 10.0, 22.5: dots 1-3 and 7 are the left column, 4-6 and 8 the right one.
    static const unsigned char bits[DOTS_Y][DOTS_X] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    int cell = y / canvas->dots_y * canvas->columns + x / canvas->dots_x;
    canvas->dots[cell] |= canvas->terminal->braille ? bits[y % DOTS_Y][x % DOTS_X] : 1;
    canvas->run[cell] = (unsigned char)(run % 255 + 1);
}

static int dot_x(const Canvas *canvas, double x) {
    const Axis *axis = &canvas->panel->x;
    return (int)lround((x - axis->low) / (axis->high - axis->low) * (canvas->columns * canvas->dots_x - 1));
}

static int dot_y(const Canvas *canvas, double y) {
    const Axis *axis = &canvas->panel->y;
    double dot = (axis->high - y) / (axis->high - axis->low) * (ROWS * canvas->dots_y - 1);
    return (int)lround(fmin(fmax(dot, -1), ROWS * canvas->dots_y));
}

static void draw_line(Canvas *canvas, int x0, int y0, int x1, int y1, size_t run) {
    int steps = (int)fmax(abs(x1 - x0), abs(y1 - y0));
    for (int i = 0; i <= steps; i++) {
        double part = steps ? (double)i / steps : 0;
        set_dot(canvas, (int)lround(x0 + part * (x1 - x0)), (int)lround(y0 + part * (y1 - y0)), run);
    }
}

static void draw_curve(Canvas *canvas, const Curve *curve) {
    bool pen_down = false;
    int x = 0, y = 0;
    for (size_t i = 0; i < curve->count; i++) {
        if (!isfinite(curve->points[i].y)) {
            pen_down = false;
            continue;
        }
        int to_x = dot_x(canvas, curve->points[i].x), to_y = dot_y(canvas, curve->points[i].y);
        if (curve->kind == CURVE_MARKED) {
            for (int k = 0; k < canvas->dots_x * canvas->dots_y; k++) // a dot that is seen: two by two
                set_dot(canvas, to_x + k % canvas->dots_x, to_y + (canvas->dots_y > 1 ? k / canvas->dots_x % 2 : 0),
                        curve->run);
        } else {
            draw_line(canvas, pen_down ? x : to_x, pen_down ? y : to_y, to_x, to_y, curve->run);
        }
        x = to_x;
        y = to_y;
        pen_down = true;
    }
}

// ---- text

static const int colours[] = {36, 33, 32, 35, 34, 31, 96, 37}; // of ECMA-48, "select graphic rendition"

static void append_cell(Text *out, const Canvas *canvas, int cell) {
    unsigned char dots = canvas->dots[cell];
    if (dots == 0) {
        text_append(out, " ");
        return;
    }
    size_t run = (size_t)canvas->run[cell] - 1;
    if (canvas->terminal->colour) text_append(out, "\x1b[%dm", colours[run % (sizeof colours / sizeof *colours)]);
    if (canvas->terminal->braille) // U+2800 and its dots, as UTF-8
        text_append(out, "\xe2%c%c", 0xa0 | dots >> 6, 0x80 | (dots & 0x3f));
    else
        text_append(out, "%c", figure_mark(run));
    if (canvas->terminal->colour) text_append(out, "\x1b[0m");
}

// The tick that lies in this row of cells, or "".
static const char *row_tick(const Canvas *canvas, int row, Arena *arena) {
    const Axis *axis = &canvas->panel->y;
    for (double tick = axis->step * ceil(axis->low / axis->step - 1e-9); tick <= axis->high + 1e-9 * axis->step;
         tick += axis->step)
        if (dot_y(canvas, tick) / canvas->dots_y == row) return figure_tick(arena, axis, tick);
    return "";
}

static void append_line(Text *out, const Canvas *canvas, int row) {
    Text line = text_create(out->arena);
    text_append(&line, "%*s |", MARGIN - 2, row_tick(canvas, row, out->arena));
    int last = canvas->columns;
    while (last > 0 && canvas->dots[row * canvas->columns + last - 1] == 0)
        last--;
    for (int x = 0; x < last; x++)
        append_cell(&line, canvas, row * canvas->columns + x);
    text_append(out, "%s\n", text_string(&line));
}

static void append_x_axis(Text *out, const Canvas *canvas, const char *title) {
    text_append(out, "%*s+", MARGIN - 1, "");
    for (int x = 0; x < canvas->columns; x++)
        text_append(out, "-");
    const char *low = figure_tick(out->arena, &canvas->panel->x, canvas->panel->x.low);
    const char *high = figure_tick(out->arena, &canvas->panel->x, canvas->panel->x.high);
    int room = canvas->columns - (int)strlen(low) - (int)strlen(high);
    int titled = room >= (int)strlen(title) + 2;
    int before = titled ? (room - (int)strlen(title)) / 2 : room > 1 ? room : 1;
    text_append(out, "\n%*s%s%*s", MARGIN, "", low, before, "");
    if (titled) text_append(out, "%s%*s", title, room - before - (int)strlen(title), "");
    text_append(out, "%s\n", high);
}

static void append_panel(Text *out, const Figure *figure, const Panel *panel, const Terminal *terminal) {
    Canvas canvas = {.terminal = terminal,
                     .panel = panel,
                     .columns = terminal->columns - MARGIN,
                     .dots_x = terminal->braille ? DOTS_X : 1,
                     .dots_y = terminal->braille ? DOTS_Y : 1};
    if (canvas.columns < LEAST_COLUMNS) canvas.columns = LEAST_COLUMNS;
    canvas.dots = ARENA_ARRAY(out->arena, unsigned char, (size_t)(canvas.columns * ROWS));
    canvas.run = ARENA_ARRAY(out->arena, unsigned char, (size_t)(canvas.columns * ROWS));
    for (size_t c = 0; c < panel->curve_count; c++)
        if (panel->curves[c].kind != CURVE_RAW) draw_curve(&canvas, &panel->curves[c]);
    text_append(out, "%s\n", panel->title);
    for (int row = 0; row < ROWS; row++)
        append_line(out, &canvas, row);
    append_x_axis(out, &canvas, figure->x_title);
    text_append(out, "\n");
}

static void append_legend(Text *out, const Figure *figure, const Terminal *terminal) {
    for (size_t r = 0; r < figure->run_count; r++) {
        const Run *run = &figure->runs[r];
        if (terminal->colour) text_append(out, "\x1b[%dm", colours[r % (sizeof colours / sizeof *colours)]);
        if (terminal->braille)
            text_append(out, "\xe2\xa0\x92\xe2\xa0\x92");
        else
            text_append(out, "%c%c", figure_mark(r), figure_mark(r));
        text_append(out, "%s %s", terminal->colour ? "\x1b[0m" : "", run->name);
        if (run->step_count) {
            const RunStep *last = &run->steps[run->step_count - 1];
            text_append(out, ": loss %.4f at iteration %lld", last->loss, (long long)last->iteration);
        }
        if (run->evaluation_count)
            text_append(out, ", val %.4f", run->evaluations[run->evaluation_count - 1].validation_loss);
        text_append(out, "%s\n", run->is_cut ? " (its last line is not whole)" : "");
    }
    text_append(out, "%s\n\n", figure_note(figure, out->arena));
}

void plot_terminal(const Figure *figure, const Terminal *terminal, Text *out) {
    Terminal used = *terminal;
    // Dots of several runs look alike without colour; marks do not.
    if (figure->run_count > 1 && !used.colour) used.braille = false;
    append_legend(out, figure, &used);
    for (size_t p = 0; p < figure->panel_count; p++)
        append_panel(out, figure, &figure->panels[p], &used);
}
