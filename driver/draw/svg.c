// The picture of a training step as SVG: see draw.h. Everything has its place already; here it is written, back to
// front: frames, edges, boxes.
#include <stdlib.h>

#include "driver/draw/draw.h"
#include "driver/draw/graph.h"
#include "driver/svg.h"

enum { FRAME = 13, LANE = 9, TITLE_Y = 30, LEGEND_Y = 54, HEADING_LIFT = 40 };

typedef struct {
    const Drawn *drawn;
    const DrawnLayout *layout;
    Text *out;
} Picture;

static const DrawnNode *node_at(const Picture *picture, uint32_t node) {
    return &picture->drawn->nodes[node];
}

static const char *form_class(const DrawnNode *node) {
    if (node->engine == ENGINE_BLAS) return "sd-blas";
    return node->form == FORM_ROW ? "sd-row" : form_multiplies(node->form) ? "sd-product" : "sd-map";
}

static const char *space_class(const DrawnEdge *edge) {
    return edge->space == SPACE_SCRATCH ? "sd-scratch" : "sd-arena";
}

// ---- style and legend

static void append_style(Text *out) {
    text_append(out, "<style>\n");
    svg_append_colours(out, "sd-drawing");
    text_append(out,
                ".sd-drawing{background:var(--page);font:13px system-ui,sans-serif}\n"
                ".sd-drawing text{fill:var(--ink)} .sd-drawing .sd-faint{fill:var(--faint)}\n"
                ".sd-heading{font-size:16px;font-weight:600} .sd-title{font-weight:600} .sd-small{font-size:11.5px}\n"
                ".sd-place{font:12px ui-monospace,monospace}\n"
                ".sd-box rect{fill-opacity:.16;stroke-width:1.5} .sd-box .sd-under{fill:var(--page);fill-opacity:1}\n"
                ".sd-map{fill:var(--c2);stroke:var(--c2)} .sd-row{fill:var(--c0);stroke:var(--c0)}\n"
                ".sd-product{fill:var(--c1);stroke:var(--c1)} .sd-blas{fill:var(--c4);stroke:var(--c4)}\n"
                ".sd-edge{fill:none;stroke-width:1.6} .sd-kept{stroke-dasharray:5 4;stroke-width:1.4;opacity:.75}\n"
                ".sd-scratch{stroke:var(--c2)} .sd-arena{stroke:var(--c3)} .sd-head-scratch{fill:var(--c2)}\n"
                ".sd-head-arena{fill:var(--c3)} "
                ".sd-bytes{font-size:10.5px;paint-order:stroke;stroke:var(--page);stroke-width:3}\n"
                ".sd-layer{fill:var(--line);fill-opacity:.28;stroke:none} .sd-up{fill:var(--c3);stroke:none}\n"
                ".sd-strand{fill:none;stroke:var(--c6);stroke-width:1.4;stroke-dasharray:2 4;stroke-linecap:round}\n"
                ".sd-drawing .sd-strand-text{fill:var(--c6);font-size:11.5px}\n</style>\n");
    for (int arena = 0; arena < 2; arena++)
        text_append(
            out,
            "<marker id=\"sd-%s\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" "
            "markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"sd-head-%s\" d=\"M0 0L8 4L0 "
            "8z\"/></marker>\n",
            arena ? "to-arena" : "to-scratch", arena ? "arena" : "scratch");
}

static void append_legend(const Picture *picture) {
    static const struct {
        const char *class, *text;
        int width;
    } boxes[] = {{"sd-product", "product", 78},
                 {"sd-blas", "product by OpenBLAS", 152},
                 {"sd-row", "with reductions", 124},
                 {"sd-map", "pointwise", 94}},
      lines[] = {{"sd-arena", "stored for all threads", 166},
                 {"sd-scratch", "in a thread's scratch", 158},
                 {"sd-arena sd-kept", "forward value kept for the backward part", 270}};
    bool occurs[4] = {false};
    for (uint32_t n = 0; n < picture->drawn->node_count; n++)
        for (int i = 0; i < 4; i++)
            occurs[i] = occurs[i] || text_equal(form_class(node_at(picture, n)), boxes[i].class);
    double x = 44;
    for (int i = 0; i < 4; i++) {
        if (!occurs[i]) continue;
        text_append(
            picture->out,
            "<g class=\"sd-box\"><rect class=\"%s\" x=\"%.0f\" y=\"%d\" width=\"14\" height=\"12\" rx=\"3\"/></g>\n",
            boxes[i].class, x, LEGEND_Y - 10);
        svg_append_text(picture->out, x + 19, LEGEND_Y, "sd-small", "start", boxes[i].text);
        x += boxes[i].width;
    }
    bool drawn[3] = {false};
    for (uint32_t e = 0; e < picture->drawn->edge_count; e++) {
        const DrawnEdge *edge = &picture->drawn->edges[e];
        drawn[edge->space == SPACE_SCRATCH] = true;
        drawn[2] = drawn[2] || node_at(picture, edge->from)->part != node_at(picture, edge->to)->part;
    }
    for (int i = 0; i < 3; i++) {
        if (!drawn[i]) continue;
        text_append(picture->out, "<path class=\"sd-edge %s\" d=\"M%.0f %dh22\"/>\n", lines[i].class, x, LEGEND_Y - 4);
        svg_append_text(picture->out, x + 27, LEGEND_Y, "sd-small", "start", lines[i].text);
        x += lines[i].width;
    }
}

// ---- frames

typedef struct {
    double left, right, top, bottom;
    bool is_set;
} Frame;

static void frame_take(Frame *frame, const DrawnNode *node) {
    if (!frame->is_set) *frame = (Frame){node->x, node->x + node->width, node->y, node->y + node->height, true};
    if (node->x < frame->left) frame->left = node->x;
    if (node->x + node->width > frame->right) frame->right = node->x + node->width;
    if (node->y < frame->top) frame->top = node->y;
    if (node->y + node->height > frame->bottom) frame->bottom = node->y + node->height;
}

static bool frame_holds(const Frame *frame, const DrawnNode *node) {
    return frame->is_set && node->y + node->height > frame->top && node->y < frame->bottom;
}

// A frame as wide as its part.
static void append_frame(const Picture *picture, const Frame *frame, StepPart part, const char *class, double margin) {
    double left = picture->layout->left[part] - margin, right = picture->layout->right[part] + margin;
    text_append(picture->out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"12\"/>\n",
                class, left, frame->top - margin, right - left, frame->bottom - frame->top + 2 * margin);
}

// Boxes that every layer has, where no other box lies between them.
static void append_layers(const Picture *picture) {
    for (int part = PART_FORWARD; part < PART_OPTIMIZER; part++) {
        Frame frame = {0};
        size_t count = 0;
        bool is_apart = true;
        for (uint32_t n = 0; n < picture->drawn->node_count; n++) {
            const DrawnNode *node = node_at(picture, n);
            if (node->part != (StepPart)part || !node->in_layer) continue;
            frame_take(&frame, node);
            if (node->count > count) count = node->count;
        }
        for (uint32_t n = 0; n < picture->drawn->node_count; n++) {
            const DrawnNode *node = node_at(picture, n);
            if (node->part == (StepPart)part && !node->in_layer && frame_holds(&frame, node)) is_apart = false;
        }
        if (!frame.is_set || !is_apart) continue;
        append_frame(picture, &frame, (StepPart)part, "sd-layer", FRAME - 4);
        if (part == PART_FORWARD)
            svg_append_text(picture->out, picture->layout->left[part], frame.top - FRAME - 2, "sd-small sd-faint",
                            "start", arena_format(picture->out->arena, "each of %zu layers", count));
    }
}

static int by_height(const void *a, const void *b) {
    const DrawnNode *x = *(const DrawnNode *const *)a, *y = *(const DrawnNode *const *)b;
    return x->y != y->y ? (x->y < y->y ? -1 : 1) : 0;
}

// Of each part, successive rows whose boxes are all of one strand.
static void append_strands(const Picture *picture) {
    const Drawn *drawn = picture->drawn;
    const DrawnNode **nodes = ARENA_ARRAY(drawn->arena, const DrawnNode *, drawn->node_count + 1);
    for (int part = PART_FORWARD; part < PART_OPTIMIZER; part++) {
        size_t count = 0;
        for (uint32_t n = 0; n < drawn->node_count; n++)
            if (drawn->nodes[n].part == (StepPart)part) nodes[count++] = &drawn->nodes[n];
        qsort(nodes, count, sizeof *nodes, by_height);
        for (size_t first = 0, next; first < count; first = next) {
            Frame frame = {0};
            uint32_t strand = nodes[first]->strand;
            for (next = first; next < count;) {
                size_t end = next;
                bool is_whole = true;
                for (; end < count && nodes[end]->y == nodes[next]->y; end++)
                    is_whole = is_whole && nodes[end]->strand == strand;
                if (!is_whole && next > first) break;
                for (size_t i = next; i < end; i++)
                    frame_take(&frame, nodes[i]);
                next = end;
                if (is_whole) continue;
                strand = DRAWN_NONE;
                break;
            }
            if (strand == DRAWN_NONE) continue;
            append_frame(picture, &frame, (StepPart)part, "sd-strand", FRAME);
            bool left = part == PART_BACKWARD; // the other side has words already
            svg_append_text(picture->out, left ? picture->layout->left[part] : picture->layout->right[part],
                            frame.top - FRAME - 4, "sd-strand-text", left ? "start" : "end",
                            drawn->strands[strand].label);
        }
    }
}

// ---- edges

static void begin_edge(const Picture *picture, const DrawnEdge *edge, const char *class) {
    text_append(picture->out, "<path class=\"sd-edge %s%s\" marker-end=\"url(#sd-%s)\" d=\"", space_class(edge), class,
                edge->space == SPACE_SCRATCH ? "to-scratch" : "to-arena");
}

static void end_edge(const Picture *picture, const DrawnEdge *edge) {
    text_append(picture->out, "\"><title>");
    svg_append_escaped(picture->out, edge->name);
    text_append(picture->out, ": %s bytes%s%s</title></path>\n", explain_quantity(picture->out->arena, edge->bytes),
                edge->space == SPACE_SCRATCH ? " in scratch" : " stored", edge->packed ? ", packed on the way" : "");
}

// A smooth way through the points, upright at each.
static void append_path(const Picture *picture, const DrawnPath *path) {
    const DrawnEdge *edge = &picture->drawn->edges[path->edge];
    begin_edge(picture, edge, "");
    text_append(picture->out, "M%.1f %.1f", path->x[0], path->y[0]);
    for (size_t i = 1; i < path->count; i++) {
        double middle = (path->y[i - 1] + path->y[i]) / 2;
        text_append(picture->out, "C%.1f %.1f %.1f %.1f %.1f %.1f", path->x[i - 1], middle, path->x[i], middle,
                    path->x[i], path->y[i]);
    }
    end_edge(picture, edge);
}

// Around the outer side of the part, back to where the next layer begins.
static void append_loop(const Picture *picture, const DrawnEdge *edge, int lane) {
    const DrawnNode *from = node_at(picture, edge->from), *to = node_at(picture, edge->to);
    bool left = from->part == PART_FORWARD;
    double side = left ? picture->layout->left[from->part] - FRAME - LANE * lane
                       : picture->layout->right[from->part] + FRAME + LANE * lane;
    double x0 = left ? from->x : from->x + from->width, x1 = left ? to->x : to->x + to->width;
    double y0 = from->y + from->height * 0.6, y1 = to->y + to->height * 0.4, turn = y1 < y0 ? -14 : 14;
    begin_edge(picture, edge, "");
    text_append(picture->out, "M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1fL%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x0,
                y0, side, y0, side, y0, side, y0 + turn, side, y1 - turn, side, y1, side, y1, x1, y1);
    end_edge(picture, edge);
}

static void append_across(const Picture *picture, const DrawnEdge *edge) {
    const DrawnNode *from = node_at(picture, edge->from), *to = node_at(picture, edge->to);
    double x0 = from->x + from->width, y0 = from->y + from->height / 2, y1 = to->y + to->height / 2;
    double bend = (picture->layout->left[PART_BACKWARD] - picture->layout->right[PART_FORWARD]) / 2;
    begin_edge(picture, edge, " sd-kept");
    text_append(picture->out, "M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x0, y0,
                picture->layout->right[PART_FORWARD] + bend, y0, picture->layout->left[PART_BACKWARD] - bend, y1, to->x,
                y1);
    end_edge(picture, edge);
}

static void append_over(const Picture *picture, const DrawnEdge *edge) {
    const DrawnNode *from = node_at(picture, edge->from), *to = node_at(picture, edge->to);
    double x0 = from->x + from->width / 2, x1 = to->x + to->width / 2, y = from->y - 26;
    begin_edge(picture, edge, "");
    text_append(picture->out, "M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x0, from->y, x0, y, x1, y, x1, to->y);
    end_edge(picture, edge);
}

static void append_edges(const Picture *picture) {
    const Drawn *drawn = picture->drawn;
    for (uint32_t e = 0; e < drawn->edge_count; e++)
        if (node_at(picture, drawn->edges[e].from)->part == PART_FORWARD &&
            node_at(picture, drawn->edges[e].to)->part == PART_BACKWARD)
            append_across(picture, &drawn->edges[e]);
    for (size_t p = 0; p < picture->layout->path_count; p++)
        append_path(picture, &picture->layout->paths[p]);
    int lanes[3] = {1, 1, 1};
    for (uint32_t e = 0; e < drawn->edge_count; e++) {
        const DrawnEdge *edge = &drawn->edges[e];
        StepPart part = node_at(picture, edge->from)->part;
        if (part != node_at(picture, edge->to)->part) continue;
        if (part == PART_OPTIMIZER)
            append_over(picture, edge);
        else if (edge->again)
            append_loop(picture, edge, lanes[part]++ % 3);
    }
}

// Each value's bytes once, where it leaves its box.
static void append_bytes(const Picture *picture) {
    const Drawn *drawn = picture->drawn;
    double *lower = ARENA_ARRAY(drawn->arena, double, drawn->node_count + 1);
    for (uint32_t e = 0; e < drawn->edge_count; e++) {
        const DrawnEdge *edge = &drawn->edges[e];
        const DrawnNode *from = node_at(picture, edge->from);
        bool is_first = from->part != PART_OPTIMIZER;
        for (uint32_t k = 0; k < e && is_first; k++)
            is_first = !draw_same_value(&drawn->edges[k], edge);
        if (!is_first) continue;
        double y = from->part == PART_BACKWARD ? from->y - 5 - lower[edge->from]
                                               : from->y + from->height + 12 + lower[edge->from];
        svg_append_text(picture->out, from->x + from->width / 2 + 7, y, "sd-bytes sd-faint", "start",
                        explain_quantity(picture->out->arena, edge->bytes));
        lower[edge->from] += 11;
    }
}

// Gradients of params go to the optimizer together; the boxes that make them have a mark.
static void append_gradients(const Picture *picture) {
    const Drawn *drawn = picture->drawn;
    double bytes = 0, top = picture->layout->height;
    bool *marked = ARENA_ARRAY(drawn->arena, bool, drawn->node_count + 1);
    for (uint32_t e = 0; e < drawn->edge_count; e++) {
        const DrawnEdge *edge = &drawn->edges[e];
        if (node_at(picture, edge->from)->part != PART_BACKWARD || node_at(picture, edge->to)->part != PART_OPTIMIZER)
            continue;
        bool counted = false;
        for (uint32_t k = 0; k < e && !counted; k++)
            counted =
                draw_same_value(&drawn->edges[k], edge) && node_at(picture, drawn->edges[k].to)->part == PART_OPTIMIZER;
        if (!counted) bytes += edge->bytes;
        marked[edge->from] = true;
    }
    for (uint32_t n = 0; n < drawn->node_count; n++) {
        const DrawnNode *node = node_at(picture, n);
        if (node->part == PART_BACKWARD && node->y < top) top = node->y;
        if (marked[n])
            text_append(
                picture->out,
                "<path class=\"sd-up\" d=\"M%.1f %.1fl6 -9l6 9z\"><title>a gradient for the optimizer</title></path>\n",
                node->x + node->width - 20, node->y + node->height - 8);
    }
    if (bytes == 0) return;
    double x = picture->layout->left[PART_BACKWARD] + DRAWN_WIDTH / 2.0;
    text_append(picture->out,
                "<path class=\"sd-edge sd-arena\" marker-end=\"url(#sd-to-arena)\" d=\"M%.1f %.1fV%.1f\"/>\n", x,
                top - FRAME - 22, (double)DRAWN_TOP + DRAWN_HEIGHT + 2);
    text_append(picture->out, "<path class=\"sd-up\" d=\"M%.1f %.1fl6 -9l6 9z\"/>\n", x + 10,
                (double)DRAWN_TOP + DRAWN_HEIGHT + 22);
    svg_append_text(picture->out, x + 27, DRAWN_TOP + DRAWN_HEIGHT + 21, "sd-small sd-faint", "start",
                    arena_format(picture->out->arena, "gradients of params, %s bytes",
                                 explain_quantity(picture->out->arena, bytes)));
}

// ---- boxes

static void append_node(const Picture *picture, const DrawnNode *node) {
    Text *out = picture->out;
    text_append(out, "<g class=\"sd-box\"><title>first of %zu: step %u</title>\n", node->count, node->first_step);
    for (int over = 0; over < 2; over++)
        text_append(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.0f\" height=\"%.0f\" rx=\"7\"/>\n",
                    over ? form_class(node) : "sd-under", node->x, node->y, node->width, node->height);
    svg_append_text(out, node->x + 9, node->y + 19, "sd-title", "start", node->title);
    svg_append_text(out, node->x + 9, node->y + 36, "sd-place", "start", node->place);
    svg_append_text(out, node->x + 9, node->y + 53, "sd-small sd-faint", "start", node->figures);
    if (node->count > 1 && node->part != PART_OPTIMIZER)
        svg_append_text(out, node->x + node->width - 7, node->y + 36, "sd-small sd-faint", "end",
                        arena_format(out->arena, "x %zu", node->count));
    text_append(out, "</g>\n");
}

static void append_headings(const Picture *picture) {
    static const char *const names[] = {
        [PART_FORWARD] = "forward, downwards", [PART_BACKWARD] = "backward, upwards", [PART_OPTIMIZER] = "optimizer"};
    for (int part = 0; part < 3; part++) {
        double top = picture->layout->height;
        bool is_any = false;
        for (uint32_t n = 0; n < picture->drawn->node_count; n++) {
            const DrawnNode *node = node_at(picture, n);
            if (node->part != (StepPart)part) continue;
            is_any = true;
            if (node->y < top) top = node->y;
        }
        double y = part == PART_BACKWARD ? picture->layout->height + HEADING_LIFT - 8 : DRAWN_TOP - HEADING_LIFT + 22;
        if (part == PART_FORWARD) y = top - HEADING_LIFT;
        if (is_any) svg_append_text(picture->out, picture->layout->left[part], y, "sd-heading", "start", names[part]);
    }
}

void draw_svg(const Plan *plan, const char *title, Text *out) {
    Drawn drawn = draw_fold(plan, out->arena);
    DrawnLayout layout = draw_layout(&drawn);
    Picture picture = {.drawn = &drawn, .layout = &layout, .out = out};
    double height = layout.height + HEADING_LIFT + 12, width = layout.width < 1000 ? 1000 : layout.width;
    text_append(out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sd-drawing\" width=\"%.0f\" height=\"%.0f\" "
                "viewBox=\"0 0 %.0f %.0f\" role=\"img\">\n<title>",
                width, height, width, height);
    svg_append_escaped(out, title);
    text_append(out, "</title>\n");
    append_style(out);
    text_append(out, "<rect width=\"%.0f\" height=\"%.0f\" fill=\"var(--page)\"/>\n", width, height);
    svg_append_text(out, 44, TITLE_Y, "sd-heading", "start", title);
    append_legend(&picture);
    append_layers(&picture);
    append_strands(&picture);
    append_headings(&picture);
    append_edges(&picture);
    for (uint32_t n = 0; n < drawn.node_count; n++)
        append_node(&picture, &drawn.nodes[n]);
    append_bytes(&picture);
    append_gradients(&picture);
    text_append(out, "</svg>\n");
}
