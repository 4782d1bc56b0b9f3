// Pieces of the report of a bench: marks that need a picture. All of them follow the page's colours by class names.
#ifndef SINTER_DRIVER_BENCH_PAGE_H
#define SINTER_DRIVER_BENCH_PAGE_H

#include "driver/bench/bench.h"

// `text` with & < > " written as HTML wants them.
void page_escaped(Text *out, const char *text);

// ---- marks.c: rows. They stretch to the width they are given, and their texts do not.
// A bar from 0 to `of.median` with the interval upon it; `full` is the right edge.
void page_bar(Text *out, const char *colour, Estimate of, double full);
// A dot with its interval about the line of 1, between `low` and `high`.
void page_whisker(Text *out, const char *colour, Estimate of, double low, double high);

// ---- charts.c: charts with axes
// Boxes by flops a byte and flops a second, below the measured roofs.
void page_roofline(Text *out, const Machine *machine, const Variant *variant);
// Bytes alive in the arena, from the first step of the plan to the last, of each level.
void page_memory(Text *out, const Bench *bench);

// ---- style.c
const char *page_style(void);

#endif
