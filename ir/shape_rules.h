// What the rules of ops share. Private to ir/shape*.c.
//
// A rule fills in result_dtype and result, or returns shape_broken. Requests come from texts too, so a rule checks
// what it reads before it reads it; the operands and `order` are checked by shape_derive before.
#ifndef SINTER_IR_SHAPE_RULES_H
#define SINTER_IR_SHAPE_RULES_H

#include "ir/shape.h"

// One function per class; the indexed ops have one each.
bool source_rule(Shape *shape);
bool pointwise_rule(Shape *shape);
bool reduce_rule(Shape *shape);
bool contract_rule(Shape *shape);
bool move_rule(Shape *shape);
bool gather_rule(Shape *shape);
bool scatter_rule(Shape *shape);

// Always false, so that a rule can `return shape_broken(...)`. The sentence starts with the op's name.
bool shape_broken(Shape *shape, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Always true.
bool shape_give(Shape *shape, DType dtype, DimList dims);

const Node *shape_operand(const Shape *shape, uint32_t i);
DimSet shape_operands_union(const Shape *shape);

// Words for sentences.
const char *shape_list_text(Shape *shape, const DimList *list);
const char *shape_set_text(Shape *shape, DimSet set);
const char *shape_dim_text(Shape *shape, DimId dim);
const char *shape_operand_text(Shape *shape, uint32_t i);

// Checks; `role` is the attribute's word in texts: "from", "to", "inner". Operands are counted from 1 in sentences.
bool shape_rank_fits(Shape *shape, DimSet set);
bool shape_dim_known(Shape *shape, DimId dim, const char *role);
bool shape_dims_known(Shape *shape, DimSet set);
bool shape_operand_has(Shape *shape, uint32_t i, DimId dim, const char *role);
bool shape_operand_lacks(Shape *shape, uint32_t i, DimId dim, const char *role);
bool shape_operand_is(Shape *shape, uint32_t i, DType dtype);
// Operands first .. count - 1 have one type.
bool shape_operands_agree(Shape *shape, uint32_t first);

#endif
