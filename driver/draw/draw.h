// The boxes of a training step as a picture: forward down on the left, backward up beside it, the optimizer above.
//
//     step  0 row     layernorm  layer[0].a   reads x          +-----------+  x 3.1M   +---------------+
//     step  9 row     layernorm  layer[1].a   reads x     ->   | layernorm |---------->| product x 4   |
//     step 18 row     layernorm  layer[2].a   reads x          | x 4       |           | layer[0..3].t |
//
// Boxes of equal layers are one box with `x 4`, as in the table of `sinter explain`; an edge is the values that one box
// writes and the other reads, with their bytes; strands are frames around their boxes.
#ifndef SINTER_DRIVER_DRAW_H
#define SINTER_DRIVER_DRAW_H

#include "ir/plan.h"

// One <svg> element, self-contained (its style inside, all class names and ids begin with `sd-`), to be written to a
// file or put into a page as it is. It follows the light or dark scheme. Its size is that at which its words can be
// read, some 1200 pixels wide: in a page it belongs into a box with `overflow-x: auto`. `title` is its heading: "gpt2,
// level all".
void draw_svg(const Plan *plan, const char *title, Text *out);

// The same as a directed graph in the language of Graphviz.
void draw_dot(const Plan *plan, const char *title, Text *out);

#endif
