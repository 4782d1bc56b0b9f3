// Element types and named dims.
#ifndef SINTER_IR_TYPE_H
#define SINTER_IR_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_I32, DTYPE_BOOL, DTYPE_COUNT } DType;

const char *dtype_name(DType dtype);                    // "f32" ...
bool dtype_from_name(const char *name, DType *dtype);
size_t dtype_bytes(DType dtype);                        // bool is stored as one byte
bool dtype_is_float(DType dtype);

// A graph has at most 64 dims; a set of them is one word. A tensor has at most MAX_RANK.
typedef uint8_t DimId;
typedef uint64_t DimSet;
enum { MAX_DIMS = 64, MAX_RANK = 8 };
#define DIM_NONE ((DimId)255)

static inline DimSet dim_bit(DimId dim) { return (DimSet)1 << dim; }
static inline bool dim_in(DimSet set, DimId dim) { return (set >> dim) & 1; }
static inline int dim_count(DimSet set) { return __builtin_popcountll(set); }
static inline DimId dim_first(DimSet set) { return (DimId)__builtin_ctzll(set); }   // of a set that is not empty

// An ordered list of dims. Meaning depends on the set only; the order is how a value is stored and printed.
typedef struct {
    uint8_t rank;
    DimId dims[MAX_RANK];
} DimList;

DimSet dim_list_set(const DimList *list);
DimList dim_list_without(DimList list, DimSet removed);
// `first`, then the dims of `second` that it lacks.
DimList dim_list_union(DimList first, DimList second);
DimList dim_list_replace(DimList list, DimId from, DimId to);
bool dim_list_equal(const DimList *a, const DimList *b);  // same dims in the same order

#endif
