// Places for the nodes of a picture: see graph.h. A layered drawing after Sugiyama, Tagawa and Toda, "Methods for
// visual understanding of hierarchical system structures", IEEE Trans. SMC (1981), for each part of the step:
//
//     1. rows      the longest way from the part's first nodes; an edge over several rows gets a waypoint in each
//     2. order     barycenter sweeps, down and up; the order with the fewest crossings stays
//     3. columns   each is drawn to the mean of its neighbours, as near as the order allows: isotonic regression by
//     pool
//                  adjacent violators (Ayer et al., Ann. Math. Statist. 1955)
//
// Forward goes down on the left, backward goes up on the right; rows of the part with fewer ones are drawn to the
// height of those that they exchange values with, by the same regression. The optimizer is one row above the backward
// part.
#include <stdlib.h>
#include <string.h>

#include "driver/draw/graph.h"

enum {
    GAP = 18,
    WAYPOINT_WIDTH = 10,
    ROW_PITCH = DRAWN_HEIGHT + 42,
    COLUMN_GAP = 124,
    MARGIN = 40,
    SWEEPS = 12,
    PULLS = 16,
    MOST_IN_A_ROW = 3
};

typedef struct {
    uint32_t node; // DRAWN_NONE: a waypoint
    int row;
    double x, width; // of its middle
    double key;      // to sort by
} Vertex;

typedef struct {
    uint32_t from, to; // vertices of successive rows
} Link;

typedef struct {
    Drawn *drawn;
    Arena *arena;
    StepPart part;
    Vertex *vertices;
    Link *links;
    size_t vertex_count, vertex_capacity, link_count, link_capacity;
    uint32_t *vertex_of; // by node
    uint32_t **rows;     // vertices in their order
    size_t *lengths;
    int row_count;
} Column;

// ---- rows

static bool is_inside(const Column *column, const DrawnEdge *edge) {
    const DrawnNode *nodes = column->drawn->nodes;
    return !edge->again && nodes[edge->from].part == column->part && nodes[edge->to].part == column->part;
}

static uint32_t add_vertex(Column *column, Vertex vertex) {
    column->vertices =
        arena_grow(column->arena, column->vertices, &column->vertex_capacity, column->vertex_count + 1, sizeof(Vertex));
    column->vertices[column->vertex_count] = vertex;
    return (uint32_t)column->vertex_count++;
}

static void add_link(Column *column, uint32_t from, uint32_t to) {
    for (size_t i = 0; i < column->link_count; i++)
        if (column->links[i].from == from && column->links[i].to == to) return;
    column->links =
        arena_grow(column->arena, column->links, &column->link_capacity, column->link_count + 1, sizeof(Link));
    column->links[column->link_count++] = (Link){from, to};
}

// Nodes ascend along the edges. Each goes below all that it reads, where there is room; one that reads nothing here,
// right above its readers.
static void choose_rows(Column *column) {
    const Drawn *drawn = column->drawn;
    int *taken = ARENA_ARRAY(column->arena, int, 2 * (size_t)drawn->node_count + 2);
    for (uint32_t n = 0; n < drawn->node_count; n++) {
        if (drawn->nodes[n].part != column->part) continue;
        int row = 0;
        for (uint32_t e = 0; e < drawn->edge_count; e++) {
            const DrawnEdge *edge = &drawn->edges[e];
            if (edge->to != n || !is_inside(column, edge)) continue;
            int above = column->vertices[column->vertex_of[edge->from]].row;
            if (above + 1 > row) row = above + 1;
        }
        while (taken[row] == MOST_IN_A_ROW)
            row++;
        taken[row]++;
        column->vertex_of[n] = add_vertex(column, (Vertex){.node = n, .row = row, .width = DRAWN_WIDTH});
    }
    for (uint32_t n = drawn->node_count; n-- > 0;) {
        if (drawn->nodes[n].part != column->part || column->vertices[column->vertex_of[n]].row != 0) continue;
        int lowest = -1;
        for (uint32_t e = 0; e < drawn->edge_count; e++) {
            const DrawnEdge *edge = &drawn->edges[e];
            if (edge->from != n || !is_inside(column, edge)) continue;
            int below = column->vertices[column->vertex_of[edge->to]].row;
            if (lowest < 0 || below - 1 < lowest) lowest = below - 1;
        }
        while (lowest > 0 && taken[lowest] == MOST_IN_A_ROW)
            lowest--;
        if (lowest <= 0) continue;
        taken[0]--;
        taken[lowest]++;
        column->vertices[column->vertex_of[n]].row = lowest;
    }
}

// ---- waypoints

bool draw_same_value(const DrawnEdge *a, const DrawnEdge *b) {
    return a->from == b->from && layer_text_same(a->key, b->key);
}

typedef struct {
    const DrawnEdge *edge; // the first one
    uint32_t *points;      // one for each row below `from`
    size_t count;
} Chain;

// Edges of one value share their way.
static Chain *chain_of(Column *column, Chain *chains, size_t *count, const DrawnEdge *edge) {
    for (size_t i = 0; i < *count; i++)
        if (draw_same_value(chains[i].edge, edge)) return &chains[i];
    chains[*count] =
        (Chain){.edge = edge, .points = ARENA_ARRAY(column->arena, uint32_t, (size_t)column->drawn->node_count + 1)};
    return &chains[(*count)++];
}

static void lead_edge(Column *column, Chain *chain, const DrawnEdge *edge, DrawnPath *path) {
    uint32_t at = column->vertex_of[edge->from], to = column->vertex_of[edge->to];
    int first = column->vertices[at].row, last = column->vertices[to].row;
    path->count = (size_t)(last - first) + 1;
    path->x = ARENA_ARRAY(column->arena, double, path->count);
    path->y = ARENA_ARRAY(column->arena, double, path->count);
    path->x[0] = at; // vertices, until there are places
    for (int row = first + 1; row < last; row++) {
        size_t k = (size_t)(row - first - 1);
        if (k == chain->count)
            chain->points[chain->count++] =
                add_vertex(column, (Vertex){.node = DRAWN_NONE, .row = row, .width = WAYPOINT_WIDTH});
        add_link(column, at, chain->points[k]);
        at = chain->points[k];
        path->x[k + 1] = at;
    }
    add_link(column, at, to);
    path->x[path->count - 1] = to;
}

static void add_waypoints(Column *column, DrawnLayout *layout) {
    const Drawn *drawn = column->drawn;
    Chain *chains = ARENA_ARRAY(column->arena, Chain, drawn->edge_count + 1);
    size_t count = 0;
    for (uint32_t e = 0; e < drawn->edge_count; e++) {
        const DrawnEdge *edge = &drawn->edges[e];
        if (!is_inside(column, edge)) continue;
        DrawnPath *path = &layout->paths[layout->path_count++];
        *path = (DrawnPath){.edge = e};
        lead_edge(column, chain_of(column, chains, &count, edge), edge, path);
    }
}

static void fill_rows(Column *column) {
    for (size_t v = 0; v < column->vertex_count; v++)
        if (column->vertices[v].row >= column->row_count) column->row_count = column->vertices[v].row + 1;
    column->rows = ARENA_ARRAY(column->arena, uint32_t *, (size_t)column->row_count + 1);
    column->lengths = ARENA_ARRAY(column->arena, size_t, (size_t)column->row_count + 1);
    for (int r = 0; r < column->row_count; r++)
        column->rows[r] = ARENA_ARRAY(column->arena, uint32_t, column->vertex_count);
    for (uint32_t v = 0; v < column->vertex_count; v++) {
        int row = column->vertices[v].row;
        column->rows[row][column->lengths[row]++] = v;
    }
}

// ---- order

// Places within the rows, as x: 0, 1, 2 ...
static void number_rows(Column *column) {
    for (int r = 0; r < column->row_count; r++)
        for (size_t i = 0; i < column->lengths[r]; i++)
            column->vertices[column->rows[r][i]].x = (double)i;
}

// The mean place of the neighbours in the row above, or below, or both; its own where it has none.
static double barycenter(const Column *column, uint32_t vertex, bool below) {
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < column->link_count; i++) {
        const Link *link = &column->links[i];
        if (link->from == vertex && below) sum += column->vertices[link->to].x, count++;
        if (link->to == vertex && !below) sum += column->vertices[link->from].x, count++;
    }
    return count ? sum / (double)count : column->vertices[vertex].x;
}

static size_t crossings(const Column *column) {
    size_t count = 0;
    for (size_t i = 0; i < column->link_count; i++) {
        for (size_t k = 0; k < i; k++) {
            const Vertex *a = &column->vertices[column->links[i].from], *b = &column->vertices[column->links[i].to];
            const Vertex *c = &column->vertices[column->links[k].from], *d = &column->vertices[column->links[k].to];
            count += a->row == c->row && (a->x - c->x) * (b->x - d->x) < 0;
        }
    }
    return count;
}

// Stable, so that equal keys keep their order.
static void sort_row(const Column *column, uint32_t *row, size_t length) {
    for (size_t i = 1; i < length; i++) {
        uint32_t vertex = row[i];
        size_t at = i;
        for (; at > 0 && column->vertices[row[at - 1]].key > column->vertices[vertex].key; at--)
            row[at] = row[at - 1];
        row[at] = vertex;
    }
}

static void sweep(Column *column, bool up) {
    for (int k = 0; k < column->row_count; k++) {
        int r = up ? column->row_count - 1 - k : k;
        for (size_t i = 0; i < column->lengths[r]; i++) {
            uint32_t vertex = column->rows[r][i];
            column->vertices[vertex].key = barycenter(column, vertex, up);
        }
        sort_row(column, column->rows[r], column->lengths[r]);
        for (size_t i = 0; i < column->lengths[r]; i++)
            column->vertices[column->rows[r][i]].x = (double)i;
    }
}

static void choose_order(Column *column) {
    double *best = ARENA_ARRAY(column->arena, double, column->vertex_count + 1);
    number_rows(column);
    size_t fewest = crossings(column);
    for (size_t v = 0; v < column->vertex_count; v++)
        best[v] = column->vertices[v].x;
    for (int s = 0; s < SWEEPS && fewest > 0; s++) {
        sweep(column, s % 2 == 1);
        size_t count = crossings(column);
        if (count >= fewest) continue;
        fewest = count;
        for (size_t v = 0; v < column->vertex_count; v++)
            best[v] = column->vertices[v].x;
    }
    for (size_t v = 0; v < column->vertex_count; v++)
        column->vertices[v].key = best[v];
    for (int r = 0; r < column->row_count; r++)
        sort_row(column, column->rows[r], column->lengths[r]);
}

// ---- places

// The ascending sequence nearest to `wish`, in place, where successive ones lie `apart[i]` from the one before at
// least.
static void place_apart(double *wish, const double *apart, size_t count, Arena *arena) {
    double *mean = ARENA_ARRAY(arena, double, count + 1), *weight = ARENA_ARRAY(arena, double, count + 1);
    double *offset = ARENA_ARRAY(arena, double, count + 1);
    size_t blocks = 0;
    for (size_t i = 0; i < count; i++) {
        offset[i] = i ? offset[i - 1] + apart[i] : 0;
        mean[blocks] = wish[i] - offset[i];
        weight[blocks++] = 1;
        while (blocks > 1 && mean[blocks - 2] > mean[blocks - 1]) {
            double total = weight[blocks - 2] + weight[blocks - 1];
            mean[blocks - 2] = (mean[blocks - 2] * weight[blocks - 2] + mean[blocks - 1] * weight[blocks - 1]) / total;
            weight[--blocks - 1] = total;
        }
    }
    for (size_t b = 0, i = 0; b < blocks; b++)
        for (double left = weight[b]; left > 0; left--, i++)
            wish[i] = mean[b] + offset[i];
}

// The mean of the neighbours above and below, and a little of the column's middle, so that it does not wander off.
static double pulled(const Column *column, uint32_t vertex) {
    double sum = 0, weight = 0.8;
    for (size_t i = 0; i < column->link_count; i++) {
        const Link *link = &column->links[i];
        if (link->from != vertex && link->to != vertex) continue;
        sum += column->vertices[link->from == vertex ? link->to : link->from].x;
        weight += 1;
    }
    return sum / weight;
}

static void place_row(Column *column, int r, bool pull) {
    const uint32_t *row = column->rows[r];
    size_t length = column->lengths[r];
    double *wish = ARENA_ARRAY(column->arena, double, length + 1),
           *apart = ARENA_ARRAY(column->arena, double, length + 1);
    for (size_t i = 0; i < length; i++) {
        const Vertex *vertex = &column->vertices[row[i]];
        wish[i] = pull ? pulled(column, row[i]) : 0;
        if (i) apart[i] = (column->vertices[row[i - 1]].width + vertex->width) / 2 + GAP;
    }
    place_apart(wish, apart, length, column->arena);
    for (size_t i = 0; i < length; i++)
        column->vertices[row[i]].x = wish[i];
}

static void choose_columns(Column *column) {
    for (int r = 0; r < column->row_count; r++)
        place_row(column, r, false);
    for (int k = 0; k < PULLS; k++)
        for (int r = 0; r < column->row_count; r++)
            place_row(column, k % 2 ? column->row_count - 1 - r : r, true);
}

static Column column_create(Drawn *drawn, StepPart part, DrawnLayout *layout) {
    Column column = {.drawn = drawn,
                     .arena = drawn->arena,
                     .part = part,
                     .vertex_of = ARENA_ARRAY(drawn->arena, uint32_t, (size_t)drawn->node_count + 1)};
    choose_rows(&column);
    add_waypoints(&column, layout);
    fill_rows(&column);
    choose_order(&column);
    choose_columns(&column);
    return column;
}

// ---- heights

// Row r of a column, from the top.
static int screen_row(const Column *column, int row) {
    return column->part == PART_BACKWARD ? column->row_count - 1 - row : row;
}

// Rows of `column` to the mean height of what they exchange values with in `other`, whose rows have places.
static void align_rows(const Column *column, double *y, const Column *other, const double *other_y, double top) {
    const Drawn *drawn = column->drawn;
    size_t rows = (size_t)column->row_count;
    double *sum = ARENA_ARRAY(column->arena, double, rows + 1), *apart = ARENA_ARRAY(column->arena, double, rows + 1);
    size_t *count = ARENA_ARRAY(column->arena, size_t, rows + 1);
    for (uint32_t e = 0; e < drawn->edge_count; e++) {
        for (int end = 0; end < 2; end++) {
            uint32_t here = end ? drawn->edges[e].to : drawn->edges[e].from;
            uint32_t there = end ? drawn->edges[e].from : drawn->edges[e].to;
            if (drawn->nodes[here].part != column->part || drawn->nodes[there].part != other->part) continue;
            int row = screen_row(column, column->vertices[column->vertex_of[here]].row);
            sum[row] += other_y[screen_row(other, other->vertices[other->vertex_of[there]].row)];
            count[row]++;
        }
    }
    size_t known = rows; // the nearest row below that exchanges something
    for (size_t r = rows; r-- > 0;) {
        apart[r] = ROW_PITCH;
        if (count[r]) known = r;
        y[r] = count[r] ? sum[r] / (double)count[r] : known < rows ? y[known] - ROW_PITCH * (double)(known - r) : top;
    }
    for (size_t r = 1; r < rows; r++) // and behind the last one
        if (y[r] < y[r - 1] + ROW_PITCH && !count[r]) y[r] = y[r - 1] + ROW_PITCH;
    place_apart(y, apart, rows, column->arena);
    for (size_t r = 0; r < rows; r++)
        if (y[r] < top + ROW_PITCH * (double)r) y[r] = top + ROW_PITCH * (double)r;
}

static void place_column(const Column *column, const double *y, double left, DrawnLayout *layout) {
    double least = 0, most = 0;
    bool is_first = true;
    for (size_t v = 0; v < column->vertex_count; v++) {
        const Vertex *vertex = &column->vertices[v];
        if (is_first || vertex->x - vertex->width / 2 < least) least = vertex->x - vertex->width / 2;
        if (is_first || vertex->x + vertex->width / 2 > most) most = vertex->x + vertex->width / 2;
        is_first = false;
    }
    for (size_t v = 0; v < column->vertex_count; v++) {
        Vertex *vertex = &column->vertices[v];
        vertex->x += left - least;
        if (vertex->node == DRAWN_NONE) continue;
        DrawnNode *node = &column->drawn->nodes[vertex->node];
        node->width = DRAWN_WIDTH;
        node->height = DRAWN_HEIGHT;
        node->x = vertex->x - node->width / 2;
        node->y = y[screen_row(column, vertex->row)];
    }
    layout->left[column->part] = left;
    layout->right[column->part] = left + most - least;
}

// Vertices of the paths become points: the lower (backward: upper) edge of the first node, the middle of waypoints, the
// edge of the last node.
static void place_paths(const Column *column, const double *y, DrawnPath *paths, size_t count) {
    bool up = column->part == PART_BACKWARD;
    for (size_t p = 0; p < count; p++) {
        DrawnPath *path = &paths[p];
        for (size_t i = 0; i < path->count; i++) {
            const Vertex *vertex = &column->vertices[(uint32_t)path->x[i]];
            double top = y[screen_row(column, vertex->row)];
            bool leaves = i == 0, arrives = i + 1 == path->count;
            path->y[i] = leaves    ? top + (up ? 0 : DRAWN_HEIGHT)
                         : arrives ? top + (up ? DRAWN_HEIGHT : 0)
                                   : top + DRAWN_HEIGHT / 2.0;
            path->x[i] = vertex->x;
        }
    }
}

// The optimizer's nodes in one row.
static void place_optimizer(Drawn *drawn, double left, DrawnLayout *layout) {
    double x = left;
    for (uint32_t n = 0; n < drawn->node_count; n++) {
        DrawnNode *node = &drawn->nodes[n];
        if (node->part != PART_OPTIMIZER) continue;
        node->x = x;
        node->y = DRAWN_TOP;
        node->width = DRAWN_WIDTH;
        node->height = DRAWN_HEIGHT;
        x += DRAWN_WIDTH + GAP;
    }
    layout->left[PART_OPTIMIZER] = left;
    layout->right[PART_OPTIMIZER] = x > left ? x - GAP : left;
}

DrawnLayout draw_layout(Drawn *drawn) {
    DrawnLayout layout = {.paths = ARENA_ARRAY(drawn->arena, DrawnPath, (size_t)drawn->edge_count + 1)};
    Column forward = column_create(drawn, PART_FORWARD, &layout);
    size_t forward_paths = layout.path_count;
    Column backward = column_create(drawn, PART_BACKWARD, &layout);
    bool has_optimizer = false;
    for (uint32_t n = 0; n < drawn->node_count; n++)
        has_optimizer = has_optimizer || drawn->nodes[n].part == PART_OPTIMIZER;

    double *y = ARENA_ARRAY(drawn->arena, double, (size_t)forward.row_count + 1);
    double *back = ARENA_ARRAY(drawn->arena, double, (size_t)backward.row_count + 1);
    double back_top = DRAWN_TOP + (has_optimizer ? ROW_PITCH + 30 : 0);
    bool forward_leads = forward.row_count > backward.row_count;
    for (int r = 0; r < forward.row_count; r++)
        y[r] = DRAWN_TOP + ROW_PITCH * (double)r;
    for (int r = 0; r < backward.row_count; r++)
        back[r] = back_top + ROW_PITCH * (double)r;
    if (forward_leads)
        align_rows(&backward, back, &forward, y, back_top);
    else
        align_rows(&forward, y, &backward, back, DRAWN_TOP);

    place_column(&forward, y, MARGIN, &layout);
    place_column(&backward, back, layout.right[PART_FORWARD] + (backward.vertex_count ? COLUMN_GAP : 0), &layout);
    place_optimizer(drawn, layout.left[PART_BACKWARD], &layout);
    place_paths(&forward, y, layout.paths, forward_paths);
    place_paths(&backward, back, layout.paths + forward_paths, layout.path_count - forward_paths);
    for (int part = 0; part < 3; part++)
        if (layout.right[part] + MARGIN > layout.width) layout.width = layout.right[part] + MARGIN;
    for (uint32_t n = 0; n < drawn->node_count; n++)
        if (drawn->nodes[n].y + DRAWN_HEIGHT > layout.height) layout.height = drawn->nodes[n].y + DRAWN_HEIGHT;
    return layout;
}
