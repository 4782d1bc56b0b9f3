// Pointwise ops: operands broadcast to the dims of the result by name. Bool is 0 or 1.
#include <math.h>

#include "ir/reference/ops.h"

// Stream 0 is the result, stream k operand k - 1.
static Walk walk_operands(const Work *work) {
    WalkOrder order = {0};
    walk_order_add(&order, &work->node->order, ~(DimSet)0);
    Strides strides[WALK_STREAMS] = {strides_dense(work->graph, work->node->order)};
    const Strides *streams[WALK_STREAMS] = {&strides[0]};
    int count = (int)work->node->operand_count + 1;
    for (int i = 1; i < count; i++) {
        strides[i] = work_strides(work, i - 1);
        streams[i] = &strides[i];
    }
    return walk_start(work->graph, &order, streams, count);
}

#define STREAM(k) (work_values(work, (k)-1) + walk.offset[k])
#define UNARY(name, expression)                                                                                        \
    void reference_##name(const Work *work) {                                                                          \
        for (Walk walk = walk_operands(work); walk.more; walk_next(&walk)) {                                           \
            double *result = work->result + walk.offset[0];                                                            \
            const double *from_a = STREAM(1);                                                                          \
            for (int64_t i = 0; i < walk.length; i++) {                                                                \
                double a = from_a[i * walk.step[1]];                                                                   \
                result[i * walk.step[0]] = (expression);                                                               \
            }                                                                                                          \
        }                                                                                                              \
    }
#define BINARY(name, expression)                                                                                       \
    void reference_##name(const Work *work) {                                                                          \
        for (Walk walk = walk_operands(work); walk.more; walk_next(&walk)) {                                           \
            double *result = work->result + walk.offset[0];                                                            \
            const double *from_a = STREAM(1), *from_b = STREAM(2);                                                     \
            for (int64_t i = 0; i < walk.length; i++) {                                                                \
                double a = from_a[i * walk.step[1]], b = from_b[i * walk.step[2]];                                     \
                result[i * walk.step[0]] = (expression);                                                               \
            }                                                                                                          \
        }                                                                                                              \
    }

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a *b)
BINARY(div, a / b)
UNARY(neg, -a)
UNARY(exp, exp(a))
UNARY(log, log(a))
UNARY(sqrt, sqrt(a))
UNARY(rsqrt, 1.0 / sqrt(a))
UNARY(tanh, tanh(a))
UNARY(erf, erf(a))
UNARY(sin, sin(a))
UNARY(cos, cos(a))
UNARY(abs, fabs(a))
BINARY(maximum, a > b || isnan(a) ? a : b) // not fmax: a NaN must not vanish
BINARY(minimum, a < b || isnan(a) ? a : b)
BINARY(lt, a < b)
BINARY(le, a <= b)
BINARY(eq, a == b)
BINARY(and, a != 0 && b != 0)
BINARY(or, a != 0 || b != 0)
UNARY(not, a == 0)
UNARY(to_float, a)

void reference_where(const Work *work) {
    for (Walk walk = walk_operands(work); walk.more; walk_next(&walk)) {
        double *result = work->result + walk.offset[0];
        const double *condition = STREAM(1), *yes = STREAM(2), *no = STREAM(3);
        for (int64_t i = 0; i < walk.length; i++) {
            bool holds = condition[i * walk.step[1]] != 0;
            result[i * walk.step[0]] = holds ? yes[i * walk.step[2]] : no[i * walk.step[3]];
        }
    }
}
