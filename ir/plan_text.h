// The words of plan text, shared by its printer and parser. Private to ir/plan_print.c and ir/plan_parse.c.
#ifndef SINTER_IR_PLAN_TEXT_H
#define SINTER_IR_PLAN_TEXT_H

#include "ir/plan.h"
#include "ir/text_format.h"

enum { VALUE_KIND_COUNT = VALUE_OUTPUT + 1, SPACE_COUNT = SPACE_SCRATCH + 1, EDGE_COUNT = EDGE_ALL + 1 };
enum { FORM_COUNT = FORM_SWEEP + 1, ENGINE_COUNT = ENGINE_BLAS + 1 };
extern const char *const value_kind_words[];
extern const char *const space_words[];
extern const char *const edge_words[];

// The extent of a piece that counts its dims whole, in steps of its divisor.
int64_t layout_piece_whole(const Graph *dims, const LayoutPiece *piece);

#endif
