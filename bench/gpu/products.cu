// Ceilings: memory by a copy larger than the caches, and cuBLASLt on the products of GPT-2 124M (forward, by data, by
// weight) at 16 x 1024 tokens, in TF32 and bf16 with f32 sums; the smallest product of the character model in a graph.
// Data is random; every shape takes cuBLASLt's first choice, and turns through enough operands that caches do not hold
// them.
#include <cublasLt.h>
#include <cuda_bf16.h>

#include "measure.cuh"

#define MUST_LT(call)                                                                        \
    do {                                                                                     \
        cublasStatus_t status_ = (call);                                                     \
        if (status_ != CUBLAS_STATUS_SUCCESS) {                                              \
            fprintf(stderr, "%s:%d: %s: status %d\n", __FILE__, __LINE__, #call, status_);   \
            exit(1);                                                                         \
        }                                                                                    \
    } while (0)

static __global__ void round_to_bf16(__nv_bfloat16 *to, const float *from, size_t count) {
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x)
        to[i] = __float2bfloat16(from[i]);
}

static cudaStream_t stream;
static void *workspace;
static const size_t workspace_bytes = 64 << 20, spread_bytes = 256 << 20;

struct Kind {
    const char *name;
    cudaDataType_t type;
    cublasComputeType_t compute;
    size_t bytes;
};
static const Kind kinds[] = {{"f32", CUDA_R_32F, CUBLAS_COMPUTE_32F, 4},
                             {"tf32", CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, 4},
                             {"bf16", CUDA_R_16BF, CUBLAS_COMPUTE_32F, 2}};

// Column-major c[m, n] = op(a) op(b), op being a transposition or nothing.
struct Product {
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
};

static Product plan(cublasLtHandle_t handle, const Kind &kind, bool turn_a, bool turn_b, int64_t m, int64_t n,
                    int64_t k) {
    Product product;
    cublasOperation_t a = turn_a ? CUBLAS_OP_T : CUBLAS_OP_N, b = turn_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    MUST_LT(cublasLtMatmulDescCreate(&product.operation, kind.compute, CUDA_R_32F));
    MUST_LT(cublasLtMatmulDescSetAttribute(product.operation, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a));
    MUST_LT(cublasLtMatmulDescSetAttribute(product.operation, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b));
    MUST_LT(cublasLtMatrixLayoutCreate(&product.a, kind.type, turn_a ? k : m, turn_a ? m : k, turn_a ? k : m));
    MUST_LT(cublasLtMatrixLayoutCreate(&product.b, kind.type, turn_b ? n : k, turn_b ? k : n, turn_b ? n : k));
    MUST_LT(cublasLtMatrixLayoutCreate(&product.c, kind.type, m, n, m));
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found;
    int count = 0;
    MUST_LT(cublasLtMatmulPreferenceCreate(&preference));
    MUST_LT(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                 &workspace_bytes, sizeof workspace_bytes));
    MUST_LT(cublasLtMatmulAlgoGetHeuristic(handle, product.operation, product.a, product.b, product.c, product.c,
                                           preference, 1, &found, &count));
    if (count == 0) {
        fprintf(stderr, "products: cuBLASLt has no algorithm\n");
        exit(1);
    }
    product.algorithm = found.algo;
    MUST_LT(cublasLtMatmulPreferenceDestroy(preference));
    return product;
}

static char *random_matrices(const Kind &kind, size_t count) {
    float *values;
    void *rounded;
    MUST(cudaMalloc(&values, count * sizeof *values));
    fill<<<1024, 256, 0, stream>>>(values, count, (unsigned)count);
    MUST(cudaStreamSynchronize(stream));
    if (kind.bytes == 4) return (char *)values;
    MUST(cudaMalloc(&rounded, count * kind.bytes));
    round_to_bf16<<<1024, 256, 0, stream>>>((__nv_bfloat16 *)rounded, values, count);
    MUST(cudaStreamSynchronize(stream));
    MUST(cudaFree(values));
    return (char *)rounded;
}

struct Shape {
    const char *name;
    bool turn_a, turn_b;
    int64_t m, n, k;
};

// Microseconds of one product. With `turns`, operands change from one to the next.
static double time_product(cublasLtHandle_t handle, const Kind &kind, const Shape &shape, bool turns) {
    Product product = plan(handle, kind, shape.turn_a, shape.turn_b, shape.m, shape.n, shape.k);
    size_t a_count = shape.m * shape.k, b_count = shape.k * shape.n, c_count = shape.m * shape.n;
    size_t set = (a_count + b_count + c_count) * kind.bytes;
    int sets = turns ? (int)std::min<size_t>(8, spread_bytes / set + 1) : 1, calls = turns ? 8 : 50;
    char *a = random_matrices(kind, sets * a_count), *b = random_matrices(kind, sets * b_count);
    char *c = random_matrices(kind, sets * c_count);
    float one = 1, zero = 0;
    auto multiply = [&] {
        for (int i = 0; i < calls; i++) {
            size_t at = (size_t)(i % sets) * kind.bytes;
            MUST_LT(cublasLtMatmul(handle, product.operation, &one, a + at * a_count, product.a, b + at * b_count,
                                   product.b, &zero, c + at * c_count, product.c, c + at * c_count, product.c,
                                   &product.algorithm, workspace, workspace_bytes, stream));
        }
    };
    multiply();
    MUST(cudaStreamSynchronize(stream));
    double time = graph_microseconds(stream, captured(stream, multiply), 1) / calls;
    MUST(cudaFree(a));
    MUST(cudaFree(b));
    MUST(cudaFree(c));
    return time;
}

static void copies() {
    size_t bytes = (size_t)2 << 30;
    char *from = random_matrices(kinds[0], bytes / 4), *to;
    MUST(cudaMalloc(&to, bytes));
    double time = microseconds(stream, 15, [&] { MUST(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream)); });
    printf("| memory | GB/s |\n|---|---|\n| copy of %.1f GB, read and written | %.0f |\n\n", 1e-9 * (double)bytes,
           2e-3 * (double)bytes / time);
    MUST(cudaFree(from));
    MUST(cudaFree(to));
}

int main(int count, char **arguments) {
    int64_t tokens = count > 1 ? atoll(arguments[1]) : 16 * 1024;
    cublasLtHandle_t handle;
    stream = new_stream();
    MUST_LT(cublasLtCreate(&handle));
    MUST(cudaMalloc(&workspace, workspace_bytes));
    copies();
    static const struct {
        const char *name;
        int64_t in, out;
    } layers[] = {{"qkv", 768, 2304}, {"attention out", 768, 768}, {"up", 768, 3072}, {"down", 3072, 768},
                  {"head", 768, 50304}};
    printf("| cuBLASLt, %lld tokens | shape | f32 TFLOP/s | tf32 | bf16 |\n|---|---|---|---|---|\n", (long long)tokens);
    for (auto &layer : layers) {
        const Shape shapes[] = {{"forward", true, false, layer.out, tokens, layer.in},
                                {"by data", false, false, layer.in, tokens, layer.out},
                                {"by weight", false, true, layer.in, layer.out, tokens}};
        for (const Shape &shape : shapes) {
            double flops = 2.0 * (double)shape.m * (double)shape.n * (double)shape.k;
            printf("| %s, %s | %lld x %lld x %lld |", layer.name, shape.name, (long long)shape.m, (long long)shape.n,
                   (long long)shape.k);
            for (const Kind &kind : kinds) {
                bool slow = kind.compute == CUBLAS_COMPUTE_32F && kind.bytes == 4 && layer.out > 50000;
                if (slow) printf(" - |");
                else printf(" %.1f |", 1e-6 * flops / time_product(handle, kind, shape, true));
            }
            printf("\n");
            fflush(stdout);
        }
    }
    const Shape smallest = {"smallest", true, false, 384, 768, 128};
    printf("\n| smallest product, 384 x 768 x 128, in a graph | f32 us | tf32 | bf16 |\n|---|---|---|---|\n"
           "| cuBLASLt |");
    for (const Kind &kind : kinds) printf(" %.2f |", time_product(handle, kind, smallest, false));
    printf("\n");
    return 0;
}
