// The pull evaluator: emits the value of one region node at given indices, and only what that value needs.
//
//     %2 = rename f32[B,S] %1 from T to S     asked at B=b, S=4*j+1   ->   %1 asked at B=b, T=4*j+1
//     %1 = operand f32[B,T] 0 @ (B, T)        asked at B=b, T=4*j+1   ->   load b0[64*b + 4*j + 1]
//
// Moves only rewrite indices; leaves become loads; everything else is a map over the values of its operands. All loads
// are in bounds whatever the data is: what padding or a wrong token would reach is read at the nearest element and
// replaced afterwards.
#include <math.h>
#include <string.h>

#include "base/diag.h"
#include "base/planted.h"
#include "codegen/lower.h"
#include "ir/reference/reference.h"

typedef struct Memo {
    struct Memo *older;
    TileIndex env[MAX_RANK]; // of the node's dims, in its order
    TileValue value;
} Memo;

struct Evaluator {
    TileBuilder *builder;
    const Plan *plan;
    const Step *step;
    const Graph *region;
    Memo **memos, **defined; // by node
};

Evaluator *evaluator_create(TileBuilder *builder, const Plan *plan, const Step *step) {
    Arena *arena = tile_builder_arena(builder);
    Evaluator *evaluator = ARENA_NEW(arena, Evaluator);
    evaluator->builder = builder;
    evaluator->plan = plan;
    evaluator->step = step;
    evaluator->region = step->region;
    evaluator->memos = ARENA_ARRAY(arena, Memo *, graph_nodes(step->region));
    evaluator->defined = ARENA_ARRAY(arena, Memo *, graph_nodes(step->region));
    return evaluator;
}

// ---- what was computed before

static bool memo_matches(const Memo *memo, const Node *node, const TileIndex *env) {
    for (int i = 0; i < node->order.rank; i++)
        if (!tile_index_equal(&memo->env[i], &env[node->order.dims[i]])) return false;
    return true;
}

static Memo *memo_create(Evaluator *evaluator, NodeId id, const TileIndex *env, TileValue value) {
    const Node *node = graph_node(evaluator->region, id);
    Memo *memo = ARENA_NEW(tile_builder_arena(evaluator->builder), Memo);
    memo->value = value;
    for (int i = 0; i < node->order.rank; i++)
        memo->env[i] = env[node->order.dims[i]];
    return memo;
}

void evaluator_define(Evaluator *evaluator, NodeId node, const TileIndex *env, TileValue value) {
    evaluator->defined[node] = memo_create(evaluator, node, env, value);
}

static TileValue defined_value(Evaluator *evaluator, NodeId id, const TileIndex *env) {
    const Memo *memo = evaluator->defined[id];
    if (!memo) return TILE_NONE;
    if (!memo_matches(memo, graph_node(evaluator->region, id), env))
        BUG("%s %%%u of a box is used at another index than it was computed at",
            op_name(graph_node(evaluator->region, id)->op), id);
    return memo->value;
}

static TileValue memo_find(Evaluator *evaluator, NodeId id, const TileIndex *env) {
    const Node *node = graph_node(evaluator->region, id);
    for (const Memo *memo = evaluator->memos[id]; memo; memo = memo->older)
        if (tile_visible(evaluator->builder, memo->value) && memo_matches(memo, node, env)) return memo->value;
    return TILE_NONE;
}

// ---- addresses

// Row-major flat index over `dims` at env.
static TileIndex flat_index(const Evaluator *evaluator, const DimList *dims, const TileIndex *env) {
    TileIndex flat = tile_index(0);
    for (int i = 0; i < dims->rank; i++) {
        int64_t extent = graph_extent(evaluator->plan->dims, dims->dims[i]);
        flat = tile_index_sum(env[dims->dims[i]], flat, extent);
    }
    return tile_index_recombine(evaluator->builder, flat);
}

TileIndex evaluator_address(Evaluator *evaluator, const Layout *layout, const TileIndex *env) {
    TileIndex address = tile_index(0);
    for (int i = 0; i < layout->count; i++) {
        const LayoutPiece *piece = &layout->pieces[i];
        TileIndex digit = flat_index(evaluator, &piece->dims, env);
        digit = tile_index_divide(evaluator->builder, digit, piece->divisor);
        TileRange range = tile_range(evaluator->builder, &digit);
        if (range.high >= piece->extent) digit = tile_index_remainder(evaluator->builder, digit, piece->extent);
        address = tile_index_sum(digit, address, piece->extent);
    }
    return tile_index_recombine(evaluator->builder, address);
}

// ---- small values

static TileValue map2(Evaluator *evaluator, int function, DType dtype, TileValue a, TileValue b) {
    return tile_map(evaluator->builder, function, dtype, (TileValue[]){a, b}, 2);
}

static TileValue where(Evaluator *evaluator, TileValue condition, TileValue yes, TileValue no) {
    DType dtype = tile_op(evaluator->builder, yes)->dtype;
    return tile_map(evaluator->builder, OP_WHERE, dtype, (TileValue[]){condition, yes, no}, 3);
}

static TileValue integer(Evaluator *evaluator, int64_t number) {
    return tile_const(evaluator->builder, DTYPE_I32, (double)number);
}

// ---- sources

// A value in parts is their sum, in ascending order.
static TileValue operand_value(Evaluator *evaluator, const Node *node, const TileIndex *env) {
    const Value *value = &evaluator->plan->values[evaluator->step->operands[node->attr.integer]];
    TileIndex address = evaluator_address(evaluator, &value->layout, env);
    TileValue sum = tile_load(evaluator->builder, node->attr.integer, node->dtype, address);
    for (uint32_t part = 1; part < value->parts && !PLANTED(parts_forgotten); part++) {
        address.constant += layout_elements(&value->layout);
        TileValue next = tile_load(evaluator->builder, node->attr.integer, node->dtype, address);
        sum = map2(evaluator, OP_ADD, node->dtype, sum, next);
    }
    return sum;
}

static TileValue const_value(Evaluator *evaluator, const Node *node, const TileIndex *env) {
    if (!node->attr.table) return tile_const(evaluator->builder, node->dtype, node->attr.value);
    TileOp op = {.kind = TILE_TABLE,
                 .dtype = node->dtype,
                 .index = flat_index(evaluator, &node->order, env),
                 .table = node->attr.table,
                 .table_count = graph_elements(evaluator->plan->dims, node->dims)};
    return tile_add(evaluator->builder, &op);
}

static TileValue random_value(Evaluator *evaluator, const Node *node, const TileIndex *env) {
    DimList ascending = {0};
    for (DimId dim = 0; dim < MAX_DIMS; dim++)
        if (dim_in(node->dims, dim)) ascending.dims[ascending.rank++] = dim;
    TileOp op = {.kind = TILE_RANDOM,
                 .dtype = DTYPE_F32,
                 .index = flat_index(evaluator, PLANTED(random_in_memory_order) ? &node->order : &ascending, env),
                 .site = reference_site_key(node->attr.site),
                 .operand_count = 3};
    for (int i = 0; i < 3; i++)
        op.operands[i] = evaluator_value(evaluator, node->operands[i], env);
    return tile_add(evaluator->builder, &op);
}

// ---- pointwise

// On i32 a few ops are said by the integer functions that addresses use, so that a backend knows fewer.
static TileValue integer_map(Evaluator *evaluator, Op op, const TileValue *operands) {
    TileValue negated;
    switch (op) {
    case OP_MAXIMUM: return map2(evaluator, TILE_MAXIMUM_INTEGER, DTYPE_I32, operands[0], operands[1]);
    case OP_MINIMUM: return map2(evaluator, TILE_MINIMUM_INTEGER, DTYPE_I32, operands[0], operands[1]);
    case OP_NEG: return map2(evaluator, OP_SUB, DTYPE_I32, integer(evaluator, 0), operands[0]);
    case OP_ABS:
        negated = map2(evaluator, OP_SUB, DTYPE_I32, integer(evaluator, 0), operands[0]);
        return map2(evaluator, TILE_MAXIMUM_INTEGER, DTYPE_I32, operands[0], negated);
    default: return TILE_NONE;
    }
}

// Operands that commute stand in the order of their ids, and a constant's is older or younger than its neighbour's
// according to the layer that named it first. Constants come second, so that all layers have the same kernels. (A
// maximum's bits depend on the order.)
static bool is_turned(const Evaluator *evaluator, const Node *node) {
    if (!op_commutes(node->op) || node->op == OP_MAXIMUM || node->op == OP_MINIMUM) return false;
    return graph_node(evaluator->region, node->operands[0])->op == OP_CONST &&
           graph_node(evaluator->region, node->operands[1])->op != OP_CONST;
}

static TileValue pointwise_value(Evaluator *evaluator, const Node *node, const TileIndex *env) {
    TileValue operands[3] = {0};
    bool turned = is_turned(evaluator, node);
    for (uint32_t i = 0; i < node->operand_count; i++)
        operands[i] = evaluator_value(evaluator, node->operands[turned ? 1 - i : i], env);
    if (node->dtype == DTYPE_I32) {
        TileValue value = integer_map(evaluator, node->op, operands);
        if (value != TILE_NONE) return value;
    }
    return tile_map(evaluator->builder, node->op, node->dtype, operands, (int)node->operand_count);
}

// ---- moves

static TileValue pad_value(Evaluator *evaluator, const Node *node, TileIndex *env, TileIndex wanted) {
    int64_t extent = graph_extent(evaluator->plan->dims, node->attr.from);
    TileRange range = tile_range(evaluator->builder, &wanted);
    TileValue zero = tile_const(evaluator->builder, node->dtype, 0);
    if (range.low >= extent) return zero;
    if (range.high < extent) {
        env[node->attr.from] = wanted;
        return evaluator_value(evaluator, node->operands[0], env);
    }
    TileValue index = tile_index_value(evaluator->builder, wanted);
    TileValue last = integer(evaluator, extent - 1);
    env[node->attr.from] = tile_index_of(map2(evaluator, TILE_MINIMUM_INTEGER, DTYPE_I32, index, last));
    if (PLANTED(padding_one_too_long)) last = integer(evaluator, extent);
    TileValue inside = map2(evaluator, OP_LE, DTYPE_BOOL, index, last);
    return where(evaluator, inside, evaluator_value(evaluator, node->operands[0], env), zero);
}

static TileValue stack_value(Evaluator *evaluator, const Node *node, const TileIndex *env) {
    TileIndex entry = env[node->attr.to];
    TileRange range = tile_range(evaluator->builder, &entry);
    TileValue value = evaluator_value(evaluator, node->operands[range.high], env);
    for (int64_t i = range.high - 1; i >= range.low; i--) {
        TileValue index = tile_index_value(evaluator->builder, entry);
        TileValue is_this = map2(evaluator, OP_EQ, DTYPE_BOOL, index, integer(evaluator, i));
        value = where(evaluator, is_this, evaluator_value(evaluator, node->operands[i], env), value);
    }
    return value;
}

static TileValue gather_value(Evaluator *evaluator, const Node *node, TileIndex *env) {
    int64_t last = graph_extent(evaluator->plan->dims, node->attr.from) - 1 - PLANTED(last_row_never_gathered);
    TileValue index = evaluator_value(evaluator, node->operands[1], env);
    TileIndex place = tile_index_of(index);
    TileRange range = tile_range(evaluator->builder, &place);
    bool trusted = range.low >= 0 && range.high <= last;
    TileValue first_value = integer(evaluator, 0), last_value = integer(evaluator, last);
    TileValue clamped = index;
    if (!trusted) {
        clamped = map2(evaluator, TILE_MAXIMUM_INTEGER, DTYPE_I32, clamped, first_value);
        clamped = map2(evaluator, TILE_MINIMUM_INTEGER, DTYPE_I32, clamped, last_value);
    }
    env[node->attr.from] = tile_index_of(clamped);
    TileValue value = evaluator_value(evaluator, node->operands[0], env);
    if (trusted || node->dtype != DTYPE_F32) return value;
    // A wrong token must show: it reads as NaN.
    TileValue inside = map2(evaluator, OP_EQ, DTYPE_BOOL, clamped, index);
    return where(evaluator, inside, value, tile_const(evaluator->builder, DTYPE_F32, NAN));
}

static TileValue move_value(Evaluator *evaluator, const Node *node, const TileIndex *outer_env) {
    const Attr *attr = &node->attr;
    TileIndex env[MAX_DIMS];
    memcpy(env, outer_env, sizeof env);
    TileIndex wanted = tile_index(0);
    if (attr->to < MAX_DIMS) wanted = env[attr->to];
    switch (node->op) {
    case OP_RENAME:
    case OP_PREFIX: env[attr->from] = wanted; break;
    case OP_SELECT: env[attr->from] = tile_index(attr->integer); break;
    case OP_SPLIT: {
        TileIndex whole = tile_index_sum(env[attr->inner], wanted, graph_extent(evaluator->plan->dims, attr->inner));
        env[attr->from] = tile_index_recombine(evaluator->builder, whole);
        break;
    }
    case OP_MERGE: {
        int64_t inner = graph_extent(evaluator->plan->dims, attr->inner);
        env[attr->from] = tile_index_divide(evaluator->builder, wanted, inner);
        env[attr->inner] = tile_index_remainder(evaluator->builder, wanted, inner);
        break;
    }
    case OP_PAD: return pad_value(evaluator, node, env, wanted);
    case OP_GATHER: return gather_value(evaluator, node, env);
    default: BUG("%s is no move", op_name(node->op));
    }
    return evaluator_value(evaluator, node->operands[0], env);
}

// ---- the door

static TileValue compute(Evaluator *evaluator, NodeId id, const TileIndex *env) {
    const Node *node = graph_node(evaluator->region, id);
    if (op_class(node->op) == CLASS_POINTWISE) return pointwise_value(evaluator, node, env);
    switch (node->op) {
    case OP_OPERAND: return operand_value(evaluator, node, env);
    case OP_CONST: return const_value(evaluator, node, env);
    case OP_INDEX: return tile_index_value(evaluator->builder, env[node->attr.to]);
    case OP_RANDOM: return random_value(evaluator, node, env);
    case OP_STACK: return stack_value(evaluator, node, env);
    case OP_STOP_GRADIENT: return evaluator_value(evaluator, node->operands[0], env);
    case OP_INPUT:
    case OP_PARAM:
    case OP_STATE:
    case OP_SUM:
    case OP_MAX:
    case OP_LSE:
    case OP_CONTRACT:
    case OP_SCATTER:
    case OP_SCATTER_ONTO: BUG("%s %%%u of a box is used before it was computed", op_name(node->op), id);
    default: return move_value(evaluator, node, env);
    }
}

TileValue evaluator_value(Evaluator *evaluator, NodeId id, const TileIndex *env) {
    TileValue value = defined_value(evaluator, id, env);
    if (value == TILE_NONE) value = memo_find(evaluator, id, env);
    if (value != TILE_NONE) return value;
    value = compute(evaluator, id, env);
    Memo *memo = memo_create(evaluator, id, env, value);
    memo->older = evaluator->memos[id];
    evaluator->memos[id] = memo;
    return value;
}
