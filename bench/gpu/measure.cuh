// What the microbenchmarks share: calls that must succeed, and the time of a graph's launch.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include <cuda_runtime.h>

#define MUST(call)                                                                                          \
    do {                                                                                                    \
        cudaError_t error_ = (call);                                                                        \
        if (error_ != cudaSuccess) {                                                                        \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(error_));      \
            exit(1);                                                                                        \
        }                                                                                                   \
    } while (0)

// Microseconds of `work` on the stream: the median of `repeats`, behind some that warm up.
static inline double microseconds(cudaStream_t stream, int repeats, const std::function<void()> &work) {
    cudaEvent_t begin, end;
    MUST(cudaEventCreate(&begin));
    MUST(cudaEventCreate(&end));
    std::vector<double> times;
    for (int i = -5; i < repeats; i++) {
        float milliseconds;
        MUST(cudaEventRecord(begin, stream));
        work();
        MUST(cudaEventRecord(end, stream));
        MUST(cudaEventSynchronize(end));
        MUST(cudaGetLastError());
        MUST(cudaEventElapsedTime(&milliseconds, begin, end));
        if (i >= 0) times.push_back(1e3 * milliseconds);
    }
    std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
    MUST(cudaEventDestroy(begin));
    MUST(cudaEventDestroy(end));
    return times[repeats / 2];
}

// What `record` puts into the stream, as a graph.
static inline cudaGraphExec_t captured(cudaStream_t stream, const std::function<void()> &record) {
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    MUST(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    record();
    MUST(cudaStreamEndCapture(stream, &graph));
    MUST(cudaGraphInstantiate(&exec, graph, 0));
    MUST(cudaGraphDestroy(graph));
    return exec;
}

// Of one launch of a graph in the middle of launches: `launches` in a row, divided.
static inline double graph_microseconds(cudaStream_t stream, cudaGraphExec_t exec, int launches) {
    return microseconds(stream, 15, [&] {
        for (int i = 0; i < launches; i++) MUST(cudaGraphLaunch(exec, stream));
    }) / launches;
}

static inline cudaStream_t new_stream() {
    cudaStream_t stream;
    MUST(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

static inline int multiprocessors() {
    int count;
    MUST(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0));
    return count;
}

// Numbers of no meaning between -1 and 1: matrix units run faster on zeros than on data.
static __global__ void fill(float *values, size_t count, unsigned seed) {
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < count; i += (size_t)gridDim.x * blockDim.x) {
        unsigned x = (unsigned)i * 2654435761u ^ seed;
        x ^= x >> 16, x *= 0x85ebca6bu, x ^= x >> 13, x *= 0xc2b2ae35u, x ^= x >> 16;
        values[i] = (float)(int)x * (1.0f / 2147483648.0f);
    }
}
