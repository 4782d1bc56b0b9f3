// A libcublasLt.so.13 of our own making: it takes the calls that Sinter makes of cuBLASLt, believes nothing, and
// launches on fake_cuda's streams a kernel that multiplies as the descriptors say, element by element, one chain of
// fused multiply-adds in ascending order of the sum: the bits of Sinter's own kernels in f32.
//
// What is asked of the real one is checked: extents that belong together, leading dims, addresses aligned as was said,
// the workspace. What it may use of the workspace is NaN afterwards.
//
// SINTER_FAKE_LIBRARY may say what it is like: "old" (version 11.11), "new" (version 14), "refuses" (it knows no way),
// "broken" (every product fails).
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/fake_driver.h"

enum { OK = 0, NOT_INITIALIZED = 1, INVALID = 7, FAILED = 13, NOT_SUPPORTED = 15 };
enum { REAL_F32 = 0, REAL_BF16 = 14, COMPUTE_F32 = 68, COMPUTE_BF16 = 75, COMPUTE_TF32 = 77, REDUCTION_IN_PLACE = 1 };
enum { MOST_ALIGNED = 4 };

enum { EPILOGUE_NONE = 1, EPILOGUE_BIAS = 4, EPILOGUE_GELU = 32 };

struct Operation {
    int compute, scale;
    int32_t turned[2];
    uint32_t epilogue;
    const void *bias;
};
struct Matrix {
    int type;
    uint64_t rows, columns;
    int64_t leading, batch_stride;
    int32_t batch;
};
struct Preference {
    uint64_t workspace;
    uint32_t reductions, alignments[MOST_ALIGNED];
};

typedef struct {
    uint64_t algorithm[8];   // here: its mark, bytes of workspace, alignments
    size_t workspace;
    int status;
    float waves;
    int reserved[4];
} Way;
enum { MARK = 0x51 };

typedef struct {
    struct Operation operation;
    struct Matrix first, second, result, added;
    const void *from[2], *from_added;   // NULL: nothing is added
    void *to, *workspace;
    size_t workspace_bytes;
    int64_t rows, columns, summed;
} Product;

static const char *kind(void) {
    const char *kind = getenv("SINTER_FAKE_LIBRARY");
    return kind ? kind : "";
}

// ---- the product

static float element(const struct Matrix *matrix, const void *memory, int64_t at) {
    if (matrix->type == REAL_F32) return ((const float *)memory)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)memory)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// To nearest, ties to even, at so many bits below those of f32.
static float rounded(float value, int dropped) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits >> 23 & 255) != 255) bits += (1u << (dropped - 1)) - 1 + (bits >> dropped & 1);
    bits &= ~((1u << dropped) - 1);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float factor(const Product *product, const struct Matrix *matrix, const void *memory, bool turned, int64_t down,
                    int64_t across, int64_t batch) {
    int64_t at = batch * matrix->batch_stride +
                 (turned ? across + down * matrix->leading : down + across * matrix->leading);
    float value = element(matrix, memory, at);
    if (product->operation.compute == COMPUTE_TF32) return rounded(value, 13);
    return product->operation.compute == COMPUTE_BF16 ? rounded(value, 16) : value;
}

static void store(const Product *product, int64_t at, float value) {
    if (product->result.type == REAL_F32) {
        ((float *)product->to)[at] = value;
        return;
    }
    uint32_t bits;
    value = rounded(value, 16);
    memcpy(&bits, &value, sizeof bits);
    ((uint16_t *)product->to)[at] = (uint16_t)(bits >> 16);
}

static float gelu(float x) {
    return 0.5f * x * (1 + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
}

// Of the sum, at a row and a column of the result.
static float finished(const Product *product, float sum, int64_t batch, int64_t row, int64_t column) {
    const struct Operation *operation = &product->operation;
    const struct Matrix *added = &product->added;
    if (product->from_added)
        sum += element(added, product->from_added, batch * added->batch_stride + row + column * added->leading);
    if (operation->epilogue & EPILOGUE_BIAS) sum += element(&product->result, operation->bias, row);
    return operation->epilogue & EPILOGUE_GELU ? gelu(sum) : sum;
}

static void multiply(void **arguments, unsigned block, unsigned blocks) {
    const Product *product = arguments[0];
    (void)block, (void)blocks;
    memset(product->workspace, 0xff, product->workspace_bytes);
    for (int64_t batch = 0; batch < product->result.batch; batch++)
        for (int64_t column = 0; column < product->columns; column++)
            for (int64_t row = 0; row < product->rows; row++) {
                float sum = 0;
                for (int64_t k = 0; k < product->summed; k++)
                    sum = fmaf(factor(product, &product->first, product->from[0], product->operation.turned[0], row, k,
                                      batch),
                               factor(product, &product->second, product->from[1], product->operation.turned[1], k,
                                      column, batch),
                               sum);
                store(product, batch * product->result.batch_stride + row + column * product->result.leading,
                      finished(product, sum, batch, row, column));
            }
}

static const FakeKernel kernel = {
    .name = "cublaslt", .argument_bytes = sizeof(Product), .argument_count = 1, .run = multiply};

// ---- what belongs together

static bool is_sound(const struct Matrix *matrix) {
    return (matrix->type == REAL_F32 || matrix->type == REAL_BF16) && matrix->leading >= (int64_t)matrix->rows &&
           matrix->batch >= 1;
}

static bool is_epilogue(const struct Operation *operation) {
    uint32_t epilogue = operation->epilogue;
    bool is_known = epilogue == EPILOGUE_NONE || (epilogue & ~(uint32_t)(EPILOGUE_BIAS | EPILOGUE_GELU)) == 0;
    return is_known && (operation->bias != NULL) == ((epilogue & EPILOGUE_BIAS) != 0);
}

static bool make_product(const struct Operation *operation, const struct Matrix *first, const struct Matrix *second,
                         const struct Matrix *added, const struct Matrix *result, Product *product) {
    uint64_t rows = operation->turned[0] ? first->columns : first->rows;
    uint64_t summed = operation->turned[0] ? first->rows : first->columns;
    uint64_t others = operation->turned[1] ? second->columns : second->rows;
    uint64_t columns = operation->turned[1] ? second->rows : second->columns;
    bool is_known = operation->compute == COMPUTE_F32 ||
                    (first->type == REAL_F32 &&
                     (operation->compute == COMPUTE_BF16 || operation->compute == COMPUTE_TF32));
    if (!is_sound(first) || !is_sound(second) || !is_sound(result) || !is_known || operation->scale != REAL_F32)
        return false;
    if (first->type != second->type || (result->type != REAL_F32 && result->type != first->type)) return false;
    if (summed != others || result->rows != rows || result->columns != columns) return false;
    if (first->batch != result->batch || second->batch != result->batch) return false;
    if (added->type != result->type || added->rows != rows || added->columns != columns ||
        added->batch != result->batch || !is_sound(added) || !is_epilogue(operation))
        return false;
    *product = (Product){.operation = *operation,
                         .first = *first,
                         .second = *second,
                         .result = *result,
                         .added = *added,
                         .rows = (int64_t)rows,
                         .columns = (int64_t)columns,
                         .summed = (int64_t)summed};
    return true;
}

// ---- the calls, under the library's own names

size_t cublasLtGetVersion(void) {
    return strcmp(kind(), "old") == 0 ? 111101 : strcmp(kind(), "new") == 0 ? 140000 : 130100;
}

const char *cublasLtGetStatusString(int status) {
    return status == INVALID         ? "CUBLAS_STATUS_INVALID_VALUE"
           : status == NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                     : "CUBLAS_STATUS_OF_A_TEST";
}

int cublasLtCreate(void **handle) {
    static int one;
    *handle = &one;
    return OK;
}
int cublasLtDestroy(void *handle) { return handle ? OK : NOT_INITIALIZED; }

static void *copied(const void *value, size_t bytes) {
    void *copy = malloc(bytes);
    if (!copy) abort();
    return memcpy(copy, value, bytes);
}
static int given_back(void *memory) {
    free(memory);
    return OK;
}
static int set(void *field, size_t wanted, const void *value, size_t bytes) {
    if (bytes != wanted) return INVALID;
    memcpy(field, value, bytes);
    return OK;
}

int cublasLtMatmulDescCreate(struct Operation **operation, int compute, int scale) {
    struct Operation made = {.compute = compute, .scale = scale, .epilogue = EPILOGUE_NONE};
    *operation = copied(&made, sizeof made);
    return OK;
}
int cublasLtMatmulDescDestroy(struct Operation *operation) { return given_back(operation); }
int cublasLtMatmulDescSetAttribute(struct Operation *operation, int attribute, const void *value, size_t bytes) {
    if (attribute == 7) return set(&operation->epilogue, sizeof(uint32_t), value, bytes);
    if (attribute == 8) return set(&operation->bias, sizeof(void *), value, bytes);
    if (attribute != 3 && attribute != 4) return INVALID;
    return set(&operation->turned[attribute - 3], sizeof(int32_t), value, bytes);
}

int cublasLtMatrixLayoutCreate(struct Matrix **matrix, int type, uint64_t rows, uint64_t columns, int64_t leading) {
    struct Matrix made = {.type = type, .rows = rows, .columns = columns, .leading = leading, .batch = 1};
    *matrix = copied(&made, sizeof made);
    return OK;
}
int cublasLtMatrixLayoutDestroy(struct Matrix *matrix) { return given_back(matrix); }
int cublasLtMatrixLayoutSetAttribute(struct Matrix *matrix, int attribute, const void *value, size_t bytes) {
    if (attribute == 5) return set(&matrix->batch, sizeof matrix->batch, value, bytes);
    return attribute == 6 ? set(&matrix->batch_stride, sizeof matrix->batch_stride, value, bytes) : INVALID;
}

int cublasLtMatmulPreferenceCreate(struct Preference **preference) {
    struct Preference made = {.reductions = 7, .alignments = {256, 256, 256, 256}};
    *preference = copied(&made, sizeof made);
    return OK;
}
int cublasLtMatmulPreferenceDestroy(struct Preference *preference) { return given_back(preference); }
int cublasLtMatmulPreferenceSetAttribute(struct Preference *preference, int attribute, const void *value,
                                         size_t bytes) {
    if (attribute == 1) return set(&preference->workspace, sizeof preference->workspace, value, bytes);
    if (attribute == 3) return set(&preference->reductions, sizeof preference->reductions, value, bytes);
    if (attribute < 5 || attribute > 8) return INVALID;
    return set(&preference->alignments[attribute - 5], sizeof(uint32_t), value, bytes);
}

// A way that adds up in place, and takes no workspace, is the best one unless the caller forbids it: it gives other
// bits.
int cublasLtMatmulAlgoGetHeuristic(void *handle, struct Operation *operation, struct Matrix *first,
                                   struct Matrix *second, struct Matrix *added, struct Matrix *result,
                                   struct Preference *preference, int wanted, Way *ways, int *found) {
    Product product;
    *found = 0;
    if (!handle || wanted < 1) return INVALID;
    if (!make_product(operation, first, second, added, result, &product)) return INVALID;
    if (strcmp(kind(), "refuses") == 0 || preference->reductions & REDUCTION_IN_PLACE) return NOT_SUPPORTED;
    uint64_t parts = (uint64_t)product.rows * (uint64_t)product.columns * sizeof(float);
    *ways = (Way){.workspace = parts < preference->workspace ? parts : preference->workspace, .waves = 1};
    ways->algorithm[0] = MARK;
    ways->algorithm[1] = ways->workspace;
    for (int i = 0; i < MOST_ALIGNED; i++) ways->algorithm[2 + i] = preference->alignments[i];
    *found = 1;
    return OK;
}

static bool is_aligned(const void *address, uint64_t alignment) { return (uintptr_t)address % alignment == 0; }

int cublasLtMatmul(void *handle, struct Operation *operation, const float *alpha, const void *from_first,
                   struct Matrix *first, const void *from_second, struct Matrix *second, const float *beta,
                   const void *from_added, struct Matrix *added, void *to, struct Matrix *result,
                   const uint64_t *algorithm, void *workspace, size_t workspace_bytes, void *stream) {
    Product product;
    if (strcmp(kind(), "broken") == 0) return FAILED;
    bool adds = *beta == 1, is_over = from_added == to;
    if (!handle || *alpha != 1 || (!adds && *beta != 0) || (!adds && !is_over)) return INVALID;
    if (is_over && adds && (added->leading != result->leading || added->batch_stride != result->batch_stride))
        return INVALID;
    if (algorithm[0] != MARK || algorithm[1] > workspace_bytes || !is_aligned(workspace, 256)) return INVALID;
    if (!is_aligned(from_first, algorithm[2]) || !is_aligned(from_second, algorithm[3]) ||
        !is_aligned(from_added, algorithm[4]) || !is_aligned(to, algorithm[5]))
        return INVALID;
    if (!make_product(operation, first, second, added, result, &product)) return INVALID;
    product.from_added = adds ? from_added : NULL;
    product.from[0] = from_first;
    product.from[1] = from_second;
    product.to = to;
    product.workspace = workspace;
    product.workspace_bytes = algorithm[1];
    void *arguments[] = {&product};
    int cuLaunchKernel(const void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                       unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream, void **arguments,
                       void **extra);
    return cuLaunchKernel(&kernel, 1, 1, 1, 1, 1, 1, 0, stream, arguments, NULL) == 0 ? OK : FAILED;
}
