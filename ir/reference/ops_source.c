// Sources. Values from outside are bound before the run and only need to stay; the others are made here.
#include <string.h>

#include "ir/reference/ops.h"

void reference_input(const Work *work) {
    (void)work;
}
void reference_param(const Work *work) {
    (void)work;
}
void reference_state(const Work *work) {
    (void)work;
}
void reference_operand(const Work *work) {
    (void)work;
}

void reference_const(const Work *work) {
    const Attr *attr = &work->node->attr;
    if (attr->table) {
        memcpy(work->result, attr->table, (size_t)work->count * sizeof(double));
    } else {
        for (int64_t i = 0; i < work->count; i++)
            work->result[i] = attr->value;
    }
}

void reference_index(const Work *work) {
    for (int64_t i = 0; i < work->count; i++)
        work->result[i] = (double)i;
}
