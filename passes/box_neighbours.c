// Which boxes are near which: the pairs that it may make sense to merge, without looking at all pairs.
//
//     box 2 reads %1 (of box 0) and the input %x; box 1 reads %x, too     ->   neighbours of box 2: 1, 0
//
// A box reads what it is made of, so whoever reads a value ever is, or is part of, a box that was made reading it.
#include <stdlib.h>

#include "passes/boxes.h"

BoxId box_home(const Drawing *drawing, BoxId box) {
    while (drawing->boxes[box].absorbed) box = drawing->boxes[box].absorber;
    return box;
}

void drawing_find_readers(Drawing *drawing) {
    uint32_t nodes = graph_nodes(drawing->graph);
    uint32_t *counts = ARENA_ARRAY(drawing->scratch, uint32_t, nodes);
    drawing->readers = ARENA_ARRAY(drawing->scratch, BoxList, nodes);
    for (int fill = 0; fill <= 1; fill++) {
        for (BoxId box = 0; box < drawing->box_count; box++) {
            NodeList operands = drawing->boxes[box].operands;
            for (uint32_t i = 0; i < operands.count; i++) {
                BoxList *readers = &drawing->readers[operands.nodes[i]];
                if (fill)
                    readers->boxes[readers->count++] = box;
                else
                    counts[operands.nodes[i]]++;
            }
        }
        for (NodeId id = 0; id < nodes && !fill; id++)
            drawing->readers[id].boxes = ARENA_ARRAY(drawing->scratch, BoxId, counts[id]);
    }
    drawing->near.boxes = ARENA_ARRAY(drawing->scratch, BoxId, drawing->box_count);
    drawing->met = ARENA_ARRAY(drawing->scratch, uint32_t, drawing->box_count);
}

bool box_meet(Drawing *drawing, BoxId box) {
    if (drawing->met[box] == drawing->walks) return false;
    drawing->met[box] = drawing->walks;
    return true;
}

// The next of the boxes that read `node`, from number *i of those that were made reading it; BOX_NONE: no more.
static BoxId next_reader(Drawing *drawing, NodeId node, uint32_t *i) {
    const BoxList *readers = &drawing->readers[node];
    while (*i < readers->count) {
        BoxId reader = box_home(drawing, readers->boxes[(*i)++]);
        if (list_has(drawing->boxes[reader].operands, node) && box_meet(drawing, reader)) return reader;
    }
    return BOX_NONE;
}

uint32_t box_count_readers(Drawing *drawing, NodeId node) {
    uint32_t count = 0, i = 0;
    drawing->walks++;
    while (next_reader(drawing, node, &i) != BOX_NONE) count++;
    return count;
}

// ---- gathering

static void gather(Drawing *drawing, BoxId box) {
    if (box_meet(drawing, box)) drawing->near.boxes[drawing->near.count++] = box;
}

static void gather_readers(Drawing *drawing, NodeId node) {
    uint32_t i = 0;
    for (BoxId reader; (reader = next_reader(drawing, node, &i)) != BOX_NONE;)
        drawing->near.boxes[drawing->near.count++] = reader;
}

static void gather_operands(Drawing *drawing, const Box *box) {
    for (uint32_t i = 0; i < box->operands.count; i++) {
        NodeId operand = box->operands.nodes[i];
        if (drawing->box_of[operand] != BOX_NONE) gather(drawing, drawing->box_of[operand]);
        // What is smaller than what the box walks is no reason to merge.
        if (graph_node(drawing->graph, operand)->dims == box_span(drawing, box)) gather_readers(drawing, operand);
    }
}

static void gather_operator(Drawing *drawing, const Box *box) {
    if (box->group == 0) return;
    for (BoxId other = 0; other < drawing->box_count; other++)
        if (!drawing->boxes[other].absorbed && drawing->boxes[other].group == box->group) gather(drawing, other);
}

static int compare_descending(const void *a, const void *b) {
    BoxId x = *(const BoxId *)a, y = *(const BoxId *)b;
    return (x < y) - (x > y);
}

BoxList box_neighbours(Drawing *drawing, BoxId id) {
    const Box *box = &drawing->boxes[id];
    drawing->near.count = 0;
    drawing->walks++;
    for (uint32_t i = 0; i < box->members.count; i++) gather_readers(drawing, box->members.nodes[i]);
    gather_operands(drawing, box);
    if (drawing->context->fuse == FUSE_OP) gather_operator(drawing, box);
    BoxList near = {.boxes = drawing->near.boxes};
    for (uint32_t i = 0; i < drawing->near.count; i++)
        if (drawing->near.boxes[i] < id) near.boxes[near.count++] = drawing->near.boxes[i];
    qsort(near.boxes, near.count, sizeof(BoxId), compare_descending);
    return near;
}
