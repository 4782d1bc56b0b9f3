// From one kernel to the next: microseconds a node in a chain of small kernels, launched one by one into a stream and
// as a graph, plainly and with programmatic dependent launch (the next kernel begins while the one before it ends, and
// waits inside). One block that does nothing; then as many blocks as there are multiprocessors, each reading what the
// kernel before it wrote.
#include "measure.cuh"

enum { NODES = 100, LAUNCHES = 20, THREADS = 256 };

static __global__ void nothing() {}

static __global__ void nothing_dependent() {
    cudaGridDependencySynchronize();
    cudaTriggerProgrammaticLaunchCompletion();
}

static __device__ void step(const float *from, float *to) {
    unsigned i = blockIdx.x * THREADS + threadIdx.x, neighbour = (i + THREADS) % (gridDim.x * THREADS);
    to[i] = from[neighbour] * 0.5f + 1.0f;
}

static __global__ void small(const float *from, float *to) { step(from, to); }

static __global__ void small_dependent(const float *from, float *to) {
    cudaGridDependencySynchronize();
    step(from, to);
    cudaTriggerProgrammaticLaunchCompletion();
}

template <typename... Parameters, typename... Arguments>
static void launch(cudaStream_t stream, bool dependent, int blocks, int threads, void (*kernel)(Parameters...),
                   Arguments... arguments) {
    cudaLaunchAttribute attribute = {};
    cudaLaunchConfig_t config = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    config.gridDim = dim3(blocks);
    config.blockDim = dim3(threads);
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = dependent ? 1 : 0;
    MUST(cudaLaunchKernelEx(&config, kernel, arguments...));
}

static void row(const char *what, cudaStream_t stream, const std::function<void(bool)> &chain) {
    double plain = graph_microseconds(stream, captured(stream, [&] { chain(false); }), LAUNCHES) / NODES;
    double dependent = graph_microseconds(stream, captured(stream, [&] { chain(true); }), LAUNCHES) / NODES;
    double in_stream = microseconds(stream, 15, [&] { chain(false); }) / NODES;
    printf("| %s | %.3f | %.3f | %.3f |\n", what, in_stream, plain, dependent);
}

int main() {
    cudaStream_t stream = new_stream();
    int blocks = multiprocessors();
    float *buffers[2];
    for (float *&buffer : buffers) MUST(cudaMalloc(&buffer, (size_t)blocks * THREADS * sizeof *buffer));
    fill<<<blocks, THREADS, 0, stream>>>(buffers[0], (size_t)blocks * THREADS, 1);
    printf("| kernel after kernel, us each | in a stream | in a graph | in a graph, dependent launch |\n"
           "|---|---|---|---|\n");
    row("1 block, nothing to do", stream, [&](bool dependent) {
        for (int i = 0; i < NODES; i++) launch(stream, dependent, 1, 32, dependent ? nothing_dependent : nothing);
    });
    char name[80];
    snprintf(name, sizeof name, "%d blocks, reading what the one before wrote", blocks);
    row(name, stream, [&](bool dependent) {
        for (int i = 0; i < NODES; i++)
            launch(stream, dependent, blocks, THREADS, dependent ? small_dependent : small,
                   (const float *)buffers[i % 2], buffers[1 - i % 2]);
    });
    // Every chain is a function of the numbers it began with: a broken dependence would show in them.
    std::vector<float> values((size_t)blocks * THREADS);
    MUST(cudaStreamSynchronize(stream));
    MUST(cudaMemcpy(values.data(), buffers[0], values.size() * sizeof(float), cudaMemcpyDeviceToHost));
    for (float value : values)
        if (!(value > 1.99f && value < 2.01f)) {
            fprintf(stderr, "nodes: %g is not the limit of x / 2 + 1\n", value);
            return 1;
        }
    return 0;
}
