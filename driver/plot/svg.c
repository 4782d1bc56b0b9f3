// A figure as SVG: see plot.h. Panels one below the other, the legend on top; text is large enough for a narrow page.
#include <math.h>
#include <string.h>

#include "driver/plot/plot.h"
#include "driver/svg.h"

enum {
    WIDTH = 640,
    LEFT = 62,
    RIGHT = 14,
    PANEL = 230,
    PANEL_TOP = 34,
    PANEL_BOTTOM = 44,
    LEGEND_LINE = 24,
    RUN_COLUMNS = 48
};

typedef struct {
    const Panel *panel;
    double top, height; // of the plotting area
} Area;

static double screen_x(const Area *area, double x) {
    const Axis *axis = &area->panel->x;
    return LEFT + (x - axis->low) / (axis->high - axis->low) * (WIDTH - LEFT - RIGHT);
}

static double screen_y(const Area *area, double y) {
    const Axis *axis = &area->panel->y;
    return area->top + (axis->high - y) / (axis->high - axis->low) * area->height;
}

// Ticks at multiples of the step inside of the axis.
static double first_tick(const Axis *axis) {
    return axis->step * ceil(axis->low / axis->step - 1e-9);
}

static void append_axes(Text *out, const Area *area, const char *x_title) {
    const Axis *x = &area->panel->x, *y = &area->panel->y;
    double bottom = area->top + area->height;
    for (double tick = first_tick(y); tick <= y->high + 1e-9 * y->step; tick += y->step) {
        text_append(out, "<line class=\"sp-grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT, WIDTH - RIGHT,
                    screen_y(area, tick), screen_y(area, tick));
        svg_append_text(out, LEFT - 7, screen_y(area, tick) + 5, "sp-faint", "end", figure_tick(out->arena, y, tick));
    }
    for (double tick = first_tick(x); tick <= x->high + 1e-9 * x->step; tick += x->step)
        svg_append_text(out, screen_x(area, tick), bottom + 18, "sp-faint", "middle", figure_tick(out->arena, x, tick));
    text_append(out, "<line class=\"sp-axis\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", LEFT, WIDTH - RIGHT,
                bottom, bottom);
    svg_append_text(out, WIDTH - RIGHT, bottom + 36, "sp-faint", "end", x_title);
    svg_append_text(out, LEFT, area->top - 12, "sp-title", "start", area->panel->title);
}

static void append_path(Text *out, const Area *area, const Curve *curve) {
    text_append(out, "<path class=\"%s sp-r%zu\" d=\"", curve->kind == CURVE_RAW ? "sp-raw" : "sp-line",
                curve->run % SVG_COLOURS);
    bool pen_down = false;
    for (size_t i = 0; i < curve->count; i++) {
        const Point *point = &curve->points[i];
        if (isfinite(point->y))
            text_append(out, "%s%.1f %.1f", pen_down ? "L" : "M", screen_x(area, point->x), screen_y(area, point->y));
        pen_down = isfinite(point->y);
    }
    text_append(out, "\"/>\n");
}

static void append_marks(Text *out, const Area *area, const Curve *curve) {
    for (size_t i = 0; i < curve->count; i++)
        if (isfinite(curve->points[i].y))
            text_append(out, "<circle class=\"sp-mark sp-r%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n",
                        curve->run % SVG_COLOURS, screen_x(area, curve->points[i].x),
                        screen_y(area, curve->points[i].y));
}

static void append_panel(Text *out, const Figure *figure, size_t p, double top) {
    Area area = {.panel = &figure->panels[p], .top = top + PANEL_TOP, .height = PANEL - PANEL_TOP - PANEL_BOTTOM};
    append_axes(out, &area, figure->x_title);
    text_append(out,
                "<clipPath id=\"sp-clip%zu\"><rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%.1f\"/></clipPath>\n", p,
                LEFT - 5, area.top - 5, WIDTH - LEFT - RIGHT + 10, area.height + 10);
    text_append(out, "<g clip-path=\"url(#sp-clip%zu)\">\n", p);
    for (size_t c = 0; c < area.panel->curve_count; c++) {
        const Curve *curve = &area.panel->curves[c];
        if (curve->kind == CURVE_MARKED)
            append_marks(out, &area, curve);
        else
            append_path(out, &area, curve);
    }
    text_append(out, "</g>\n");
}

// Runs differ by colour and by dashes.
static void append_style(Text *out) {
    static const char *const dashes[] = {"none", "9 4", "3 3", "9 3 3 3", "14 4", "1 4", "14 3 3 3", "5 5"};
    text_append(out, "<style>\n");
    svg_append_colours(out, "sinter-plot");
    text_append(
        out, ".sinter-plot{background:var(--page);font:15px system-ui,sans-serif;max-width:100%%;height:auto}\n"
             ".sinter-plot text{fill:var(--ink)} .sinter-plot .sp-faint{fill:var(--faint);font-size:13.5px}\n"
             ".sinter-plot .sp-title{font-weight:600} .sp-grid{stroke:var(--line)} .sp-axis{stroke:var(--faint)}\n"
             ".sp-line{fill:none;stroke-width:2;stroke-linejoin:round} .sp-raw{fill:none;stroke-width:1;opacity:.25}\n"
             ".sp-mark{stroke-width:2}\n");
    for (int r = 0; r < SVG_COLOURS; r++)
        text_append(out, ".sp-r%d{stroke:var(--c%d)} .sp-line.sp-r%d{stroke-dasharray:%s} .sp-mark.sp-r%d{fill:%s}\n",
                    r, r, r, dashes[r], r, r % 2 ? "var(--page)" : arena_format(out->arena, "var(--c%d)", r));
    text_append(out, "</style>\n");
}

static void append_legend(Text *out, const Figure *figure) {
    for (size_t r = 0; r < figure->run_count; r++) {
        double y = LEGEND_LINE * (double)(r + 1);
        const Run *run = &figure->runs[r];
        const char *cut = run->is_cut ? " (last line not whole)" : "";
        text_append(out, "<line class=\"sp-line sp-r%zu\" x1=\"14\" x2=\"50\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                    r % SVG_COLOURS, y - 5, y - 5);
        size_t length = strlen(run->name);
        const char *name =
            length > RUN_COLUMNS ? arena_format(out->arena, "..%s", run->name + length - RUN_COLUMNS) : run->name;
        svg_append_text(out, 58, y, "sp-name", "start", arena_format(out->arena, "%s%s", name, cut));
    }
    svg_append_text(out, 14, LEGEND_LINE * (double)(figure->run_count + 1), "sp-faint", "start",
                    figure_note(figure, out->arena));
}

void plot_svg(const Figure *figure, Text *out) {
    double top = LEGEND_LINE * (double)(figure->run_count + 1) + 16, height = top + PANEL * (double)figure->panel_count;
    text_append(out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sinter-plot\" width=\"%d\" height=\"%.0f\" "
                "viewBox=\"0 0 %d %.0f\" role=\"img\">\n<title>curves of %zu training%s</title>\n",
                WIDTH, height, WIDTH, height, figure->run_count, figure->run_count == 1 ? "" : "s");
    append_style(out);
    text_append(out, "<rect width=\"%d\" height=\"%.0f\" fill=\"var(--page)\"/>\n", WIDTH, height);
    append_legend(out, figure);
    for (size_t p = 0; p < figure->panel_count; p++)
        append_panel(out, figure, p, top + PANEL * (double)p);
    text_append(out, "</svg>\n");
}
