// Names and sizes of element types, and the arithmetic of dim lists.
#include "ir/type.h"

#include <string.h>

#include "base/diag.h"

static const struct {
    const char *name;
    size_t bytes;
    bool is_float;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_F32] = {"f32", 4, true}, [DTYPE_BF16] = {"bf16", 2, true},  [DTYPE_F16] = {"f16", 2, true},
    [DTYPE_I32] = {"i32", 4, false}, [DTYPE_BOOL] = {"bool", 1, false},
};

const char *dtype_name(DType dtype) {
    return dtypes[dtype].name;
}

bool dtype_from_name(const char *name, DType *dtype) {
    for (int i = 0; i < DTYPE_COUNT; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *dtype = (DType)i;
            return true;
        }
    }
    return false;
}

size_t dtype_bytes(DType dtype) {
    return dtypes[dtype].bytes;
}

bool dtype_is_float(DType dtype) {
    return dtypes[dtype].is_float;
}

DimSet dim_list_set(const DimList *list) {
    DimSet set = 0;
    for (int i = 0; i < list->rank; i++) set |= dim_bit(list->dims[i]);
    return set;
}

DimList dim_list_without(DimList list, DimSet removed) {
    DimList kept = {0};
    for (int i = 0; i < list.rank; i++) {
        if (!dim_in(removed, list.dims[i])) kept.dims[kept.rank++] = list.dims[i];
    }
    return kept;
}

DimList dim_list_union(DimList first, DimList second) {
    DimList extra = dim_list_without(second, dim_list_set(&first));
    CHECK(first.rank + extra.rank <= MAX_RANK);
    for (int i = 0; i < extra.rank; i++) first.dims[first.rank++] = extra.dims[i];
    return first;
}

DimList dim_list_replace(DimList list, DimId from, DimId to) {
    for (int i = 0; i < list.rank; i++) {
        if (list.dims[i] == from) list.dims[i] = to;
    }
    return list;
}

bool dim_list_equal(const DimList *a, const DimList *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof a->dims[0]) == 0;
}
