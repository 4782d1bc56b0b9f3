// cuBLASLt, NVIDIA's library of matrix products, opened at run time: the calls that Sinter makes of it.
//
// Types, numbers and entry points are those of the toolkit's cublasLt.h, which is not needed to build this.
#ifndef SINTER_RUNTIME_CUDA_LIBRARY_H
#define SINTER_RUNTIME_CUDA_LIBRARY_H

#include <stdint.h>

#include "runtime/cuda/driver.h"

typedef int LtStatus;   // cublasStatus_t
typedef struct LtHandle *LtHandle;
typedef struct LtOperation *LtOperation;     // cublasLtMatmulDesc_t
typedef struct LtMatrix *LtMatrix;           // cublasLtMatrixLayout_t
typedef struct LtPreference *LtPreference;   // cublasLtMatmulPreference_t

enum {
    LT_OK = 0,
    LT_REAL_F32 = 0,         // cudaDataType_t
    LT_REAL_BF16 = 14,
    LT_COMPUTE_F32 = 68,     // cublasComputeType_t: sums in f32, factors as they are
    LT_COMPUTE_F32_BF16 = 75,   // .. f32 factors may be rounded to bf16
    LT_COMPUTE_F32_TF32 = 77,
    LT_OPERATION_TURN_FIRST = 3,   // attributes of an operation: int32
    LT_OPERATION_TURN_SECOND = 4,
    LT_OPERATION_EPILOGUE = 7,     // uint32: what is computed of the sum
    LT_OPERATION_BIAS = 8,         // const void *: one number for each row of the result, of its type
    LT_EPILOGUE_NONE = 1,
    LT_EPILOGUE_BIAS = 4,
    // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), of the sum and the bias. NVIDIA's documentation says GELU(x);
    // that it is this form PyTorch's developers found (github.com/pytorch/pytorch/pull/104061).
    LT_EPILOGUE_GELU = 32,
    LT_NOT_TURNED = 0,
    LT_TURNED = 1,
    LT_MATRIX_BATCH = 5,           // of a matrix: int32
    LT_MATRIX_BATCH_STRIDE = 6,    // int64, elements
    LT_PREFER_WORKSPACE = 1,       // of a preference: uint64, bytes at most
    LT_PREFER_REDUCTION = 3,       // uint32, a mask of what may be done with the parts of a sum that is cut
    LT_REDUCTION_IN_WORKSPACE = 2,   // they are added up in order; without this: added where they meet, in any order
    LT_PREFER_ALIGNMENT = 5        // uint32, bytes at least: of the first factor; then second, added and result
};

typedef struct {
    uint64_t algorithm[8];
    size_t workspace_bytes;
    LtStatus status;
    float waves;
    int reserved[4];
} LtWay;   // cublasLtMatmulHeuristicResult_t

typedef struct {
    Library library;
    size_t version;   // 130100 is 13.1.0

    size_t (*get_version)(void);
    const char *(*status_text)(LtStatus status);
    LtStatus (*create)(LtHandle *handle);
    LtStatus (*destroy)(LtHandle handle);
    LtStatus (*operation_create)(LtOperation *operation, int compute, int scale);
    LtStatus (*operation_destroy)(LtOperation operation);
    LtStatus (*operation_set)(LtOperation operation, int attribute, const void *value, size_t bytes);
    LtStatus (*matrix_create)(LtMatrix *matrix, int type, uint64_t rows, uint64_t columns, int64_t leading);
    LtStatus (*matrix_destroy)(LtMatrix matrix);
    LtStatus (*matrix_set)(LtMatrix matrix, int attribute, const void *value, size_t bytes);
    LtStatus (*preference_create)(LtPreference *preference);
    LtStatus (*preference_destroy)(LtPreference preference);
    LtStatus (*preference_set)(LtPreference preference, int attribute, const void *value, size_t bytes);
    LtStatus (*find_ways)(LtHandle handle, LtOperation operation, LtMatrix first, LtMatrix second, LtMatrix added,
                          LtMatrix result, LtPreference preference, int wanted, LtWay *ways, int *found);
    LtStatus (*multiply)(LtHandle handle, LtOperation operation, const void *alpha, const void *first,
                         LtMatrix first_matrix, const void *second, LtMatrix second_matrix, const void *beta,
                         const void *added, LtMatrix added_matrix, void *result, LtMatrix result_matrix,
                         const uint64_t *algorithm, void *workspace, size_t workspace_bytes, CudaStream stream);
} CudaLibrary;

// libcublasLt.so.13 or .12, as the driver allows. NULL: `*why` is one clause. In `arena`; it stays open until the
// process ends. Its first handle, not this, is what takes time.
const CudaLibrary *cuda_library_open(Arena *arena, int driver_version, const char **why);
// "13.1.0"
const char *cuda_library_version(Arena *arena, const CudaLibrary *library);
// What its products should have to work in on that architecture, as NVIDIA advises.
double cuda_library_bytes(int major);

#endif
