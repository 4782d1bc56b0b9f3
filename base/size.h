// Checked arithmetic for every size, count and offset. One formula, one place:
// each function returns false on overflow and then leaves *result untouched.
#ifndef SINTER_BASE_SIZE_H
#define SINTER_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>

bool size_add(size_t a, size_t b, size_t *result);
bool size_multiply(size_t a, size_t b, size_t *result);
// Rounds `value` up to a multiple of `alignment` (a power of two); overflow is checked before the rounding.
bool size_align_up(size_t value, size_t alignment, size_t *result);

#endif
