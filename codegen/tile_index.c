// Affine indices of tile programs: sums, exact division, and the ranges that make division provable.
//
// Before: `(32*j + lane) / 32` with lane in 0..31.  After: `j`. What cannot be proved becomes a divide or remainder op
// on an i32 value, and is put together again when both halves meet in one address.
#include "base/diag.h"
#include "codegen/lower.h"

TileIndex tile_index(int64_t constant) {
    TileIndex index = {.constant = constant};
    return index;
}

TileIndex tile_index_of(TileValue value) {
    return tile_index_plus(tile_index(0), value, 1);
}

// Terms stay sorted by value and never have coefficient 0, so that equal indices look equal.
TileIndex tile_index_plus(TileIndex index, TileValue value, int64_t coefficient) {
    int at = 0;
    while (at < index.count && index.terms[at].value < value)
        at++;
    bool present = at < index.count && index.terms[at].value == value;
    if (present) coefficient += index.terms[at].coefficient;
    if (coefficient != 0 && !present) {
        if (index.count == TILE_MAX_TERMS) BUG("an address has more than %d terms", TILE_MAX_TERMS);
        for (int i = index.count++; i > at; i--)
            index.terms[i] = index.terms[i - 1];
        index.terms[at].value = value;
    }
    if (coefficient != 0) {
        index.terms[at].coefficient = coefficient;
    } else if (present) {
        index.count--;
        for (int i = at; i < index.count; i++)
            index.terms[i] = index.terms[i + 1];
    }
    return index;
}

TileIndex tile_index_sum(TileIndex a, TileIndex b, int64_t coefficient) {
    a.constant += coefficient * b.constant;
    for (int i = 0; i < b.count; i++)
        a = tile_index_plus(a, b.terms[i].value, coefficient * b.terms[i].coefficient);
    return a;
}

bool tile_index_equal(const TileIndex *a, const TileIndex *b) {
    if (a->constant != b->constant || a->count != b->count) return false;
    for (int i = 0; i < a->count; i++)
        if (a->terms[i].value != b->terms[i].value || a->terms[i].coefficient != b->terms[i].coefficient) return false;
    return true;
}

TileValue tile_index_value(TileBuilder *builder, TileIndex index) {
    if (index.count == 0) return tile_const(builder, DTYPE_I32, (double)index.constant);
    if (index.count == 1 && index.constant == 0 && index.terms[0].coefficient == 1) return index.terms[0].value;
    TileOp op = {.kind = TILE_INDEX, .dtype = DTYPE_I32, .index = index};
    return tile_add(builder, &op);
}

// ---- ranges

static const TileRange any_integer = {INT32_MIN, INT32_MAX};

static TileRange range_union(TileRange a, TileRange b) {
    return (TileRange){a.low < b.low ? a.low : b.low, a.high > b.high ? a.high : b.high};
}

// i32 arithmetic wraps; a range that leaves i32 says nothing.
static TileRange range_checked(int64_t low, int64_t high) {
    if (low < INT32_MIN || high > INT32_MAX) return any_integer;
    return (TileRange){low, high};
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static TileRange product_range(TileRange a, TileRange b) {
    int64_t corners[4] = {a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high};
    TileRange range = {corners[0], corners[0]};
    for (int i = 1; i < 4; i++)
        range = range_union(range, (TileRange){corners[i], corners[i]});
    return range_checked(range.low, range.high);
}

static TileRange map_range(const TileOp *op, const TileRange *ranges) {
    TileRange a = ranges[op->operands[0]], b = op->operand_count > 1 ? ranges[op->operands[1]] : any_integer;
    switch (op->function) {
    case OP_ADD: return range_checked(a.low + b.low, a.high + b.high);
    case OP_SUB: return range_checked(a.low - b.high, a.high - b.low);
    case OP_MUL: return product_range(a, b);
    case OP_WHERE: return range_union(b, ranges[op->operands[2]]);
    case TILE_MINIMUM_INTEGER: return (TileRange){smaller(a.low, b.low), smaller(a.high, b.high)};
    case TILE_MAXIMUM_INTEGER: return (TileRange){larger(a.low, b.low), larger(a.high, b.high)};
    case TILE_DIVIDE:
        if (a.low < 0 || b.low != b.high || b.low < 1) return any_integer;
        return (TileRange){a.low / b.low, a.high / b.low};
    case TILE_REMAINDER:
        if (a.low < 0 || b.low != b.high || b.low < 1) return any_integer;
        return (TileRange){0, smaller(a.high, b.low - 1)};
    default: return any_integer;
    }
}

static TileRange table_range(const TileOp *op) {
    TileRange range = {(int64_t)op->table[0], (int64_t)op->table[0]};
    for (int64_t i = 1; i < op->table_count; i++) {
        int64_t number = (int64_t)op->table[i];
        range = range_union(range, (TileRange){number, number});
    }
    return range;
}

TileRange tile_op_range(const TileOp *op, const TileRange *ranges) {
    if (op->dtype != DTYPE_I32) return any_integer;
    switch (op->kind) {
    case TILE_LOOP: return (TileRange){0, op->extent - 1};
    case TILE_CONST: return (TileRange){(int64_t)op->number, (int64_t)op->number};
    case TILE_INDEX: {
        TileRange range = tile_index_range(&op->index, ranges);
        return range_checked(range.low, range.high);
    }
    case TILE_TABLE: return table_range(op);
    case TILE_MAP: return map_range(op, ranges);
    default: return any_integer;
    }
}

TileRange tile_index_range(const TileIndex *index, const TileRange *ranges) {
    TileRange range = {index->constant, index->constant};
    for (int i = 0; i < index->count; i++) {
        TileRange term = ranges[index->terms[i].value];
        int64_t coefficient = index->terms[i].coefficient;
        range.low += coefficient * (coefficient > 0 ? term.low : term.high);
        range.high += coefficient * (coefficient > 0 ? term.high : term.low);
    }
    return range;
}

// ---- division

// index = by * multiple + rest, where rest has what is not visibly a multiple.
static TileIndex take_multiple(TileIndex index, int64_t by, TileIndex *rest) {
    int64_t quotient = index.constant / by, left = index.constant % by;
    if (left < 0) {
        left += by;
        quotient--;
    }
    TileIndex multiple = tile_index(quotient);
    *rest = tile_index(left);
    for (int i = 0; i < index.count; i++) {
        int64_t coefficient = index.terms[i].coefficient;
        bool divides = coefficient % by == 0;
        if (divides)
            multiple = tile_index_plus(multiple, index.terms[i].value, coefficient / by);
        else
            *rest = tile_index_plus(*rest, index.terms[i].value, coefficient);
    }
    return multiple;
}

// The quotient of `rest`, when all values it can take have the same.
static bool settled_quotient(TileBuilder *builder, const TileIndex *rest, int64_t by, int64_t *quotient) {
    TileRange range = tile_range(builder, rest);
    if (range.low < 0) BUG("an index that is divided can be negative (%lld)", (long long)range.low);
    *quotient = range.low / by;
    return range.high / by == *quotient;
}

static TileValue divide_op(TileBuilder *builder, TileFunction function, TileIndex index, int64_t by) {
    TileValue operands[2] = {tile_index_value(builder, index), tile_const(builder, DTYPE_I32, (double)by)};
    return tile_map(builder, function, DTYPE_I32, operands, 2);
}

TileIndex tile_index_divide(TileBuilder *builder, TileIndex index, int64_t by) {
    if (by == 1) return index;
    TileIndex rest, multiple = take_multiple(tile_index_recombine(builder, index), by, &rest);
    int64_t quotient;
    if (settled_quotient(builder, &rest, by, &quotient)) {
        multiple.constant += quotient;
        return multiple;
    }
    return tile_index_plus(multiple, divide_op(builder, TILE_DIVIDE, rest, by), 1);
}

TileIndex tile_index_remainder(TileBuilder *builder, TileIndex index, int64_t by) {
    if (by == 1) return tile_index(0);
    TileIndex rest;
    take_multiple(tile_index_recombine(builder, index), by, &rest);
    int64_t quotient;
    if (settled_quotient(builder, &rest, by, &quotient)) {
        rest.constant -= quotient * by;
        return rest;
    }
    return tile_index_of(divide_op(builder, TILE_REMAINDER, rest, by));
}

// The i32 value of an op as an affine index: what a TILE_INDEX stands for, else the value itself.
static TileIndex expand(const TileBuilder *builder, TileValue value) {
    const TileOp *op = tile_op(builder, value);
    return op->kind == TILE_INDEX ? op->index : tile_index_of(value);
}

static bool is_division(const TileOp *op, TileFunction function) {
    return op->kind == TILE_MAP && op->function == (int)function;
}

static bool halves_of_one(const TileBuilder *builder, const TileIndex *index, int high, int low) {
    const TileOp *quotient = tile_op(builder, index->terms[high].value);
    const TileOp *remainder = tile_op(builder, index->terms[low].value);
    if (!is_division(quotient, TILE_DIVIDE) || !is_division(remainder, TILE_REMAINDER)) return false;
    if (quotient->operands[0] != remainder->operands[0] || quotient->operands[1] != remainder->operands[1])
        return false;
    int64_t by = (int64_t)tile_op(builder, quotient->operands[1])->number;
    return index->terms[high].coefficient == by * index->terms[low].coefficient;
}

TileIndex tile_index_recombine(const TileBuilder *builder, TileIndex index) {
    for (int high = 0; high < index.count; high++)
        for (int low = 0; low < index.count; low++) {
            if (high == low || !halves_of_one(builder, &index, high, low)) continue;
            TileValue quotient = index.terms[high].value, remainder = index.terms[low].value;
            int64_t coefficient = index.terms[low].coefficient;
            TileIndex whole = expand(builder, tile_op(builder, remainder)->operands[0]);
            index = tile_index_plus(index, quotient, -index.terms[high].coefficient);
            index = tile_index_plus(index, remainder, -coefficient);
            return tile_index_recombine(builder, tile_index_sum(index, whole, coefficient));
        }
    return index;
}
