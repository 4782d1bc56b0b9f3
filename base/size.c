// Checked arithmetic: see size.h.
#include "base/size.h"

bool size_add(size_t a, size_t b, size_t *result) {
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *result = sum;
    return true;
}

bool size_multiply(size_t a, size_t b, size_t *result) {
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *result = product;
    return true;
}

bool size_align_up(size_t value, size_t alignment, size_t *result) {
    size_t padded;
    if (!size_add(value, alignment - 1, &padded)) return false;
    *result = padded & ~(alignment - 1);
    return true;
}
