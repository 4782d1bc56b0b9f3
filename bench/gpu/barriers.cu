// Barriers inside of one kernel, microseconds each: of all blocks of a grid (an atomic counter in the cache of all, and
// spinning on it), of the blocks of a cluster, and a round trip through a neighbour's shared memory in it.
#include <cooperative_groups.h>

#include "measure.cuh"

namespace groups = cooperative_groups;

enum { ROUNDS = 1000, THREADS = 256, CLUSTER = 8 };

// Sense by counting: the barrier of round r is open when r * blocks have arrived.
static __global__ void grid_barriers(unsigned *arrived, float *values) {
    for (unsigned round = 1; round <= ROUNDS; round++) {
        if (threadIdx.x == 0) values[blockIdx.x] += 1.0f;
        __syncthreads();
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd(arrived, 1);
            while (*(volatile unsigned *)arrived < round * gridDim.x) {}
            __threadfence();
        }
        __syncthreads();
    }
}

static __global__ void cooperative_barriers(float *values) {
    for (int round = 0; round < ROUNDS; round++) {
        if (threadIdx.x == 0) values[blockIdx.x] += 1.0f;
        groups::this_grid().sync();
    }
}

static __global__ void __cluster_dims__(CLUSTER) cluster_barriers(float *values) {
    for (int round = 0; round < ROUNDS; round++) {
        if (threadIdx.x == 0) values[blockIdx.x] += 1.0f;
        groups::this_cluster().sync();
    }
}

// Each block adds 1 to what its neighbour has, and a barrier later reads what it got.
static __global__ void __cluster_dims__(CLUSTER) cluster_trips(float *values) {
    __shared__ float mine[2];
    groups::cluster_group cluster = groups::this_cluster();
    if (threadIdx.x == 0) mine[0] = mine[1] = 0;
    cluster.sync();
    for (int round = 0; round < ROUNDS; round++) {
        if (threadIdx.x == 0) {
            float *neighbour = cluster.map_shared_rank(mine, (cluster.block_rank() + 1) % CLUSTER);
            neighbour[(round + 1) % 2] = mine[round % 2] + 1.0f;
        }
        cluster.sync();
    }
    if (threadIdx.x == 0) values[blockIdx.x] = mine[ROUNDS % 2];
}

static void check(const char *what, const float *values, int blocks, float expected) {
    std::vector<float> found(blocks);
    MUST(cudaMemcpy(found.data(), values, blocks * sizeof(float), cudaMemcpyDeviceToHost));
    for (float value : found)
        if (value != expected) {
            fprintf(stderr, "barriers: %s: %g, not %g\n", what, value, expected);
            exit(1);
        }
}

static void row(cudaStream_t stream, const char *what, float *values, int blocks, float expected,
                const std::function<void()> &launch) {
    MUST(cudaMemset(values, 0, blocks * sizeof(float)));
    MUST(cudaDeviceSynchronize());
    launch();
    MUST(cudaStreamSynchronize(stream));
    MUST(cudaGetLastError());
    check(what, values, blocks, expected);
    printf("| %s | %d | %.3f |\n", what, blocks, microseconds(stream, 15, launch) / ROUNDS);
}

int main() {
    cudaStream_t stream = new_stream();
    int blocks = multiprocessors(), in_clusters = blocks / CLUSTER * CLUSTER;
    unsigned *arrived;
    float *values;
    MUST(cudaMalloc(&arrived, sizeof *arrived));
    MUST(cudaMalloc(&values, blocks * sizeof *values));
    printf("| barrier in a kernel | blocks | us |\n|---|---|---|\n");
    row(stream, "of a grid, own counter", values, blocks, ROUNDS, [&] {
        MUST(cudaMemsetAsync(arrived, 0, sizeof *arrived, stream));
        void *arguments[] = {&arrived, &values};
        MUST(cudaLaunchCooperativeKernel((void *)grid_barriers, blocks, THREADS, arguments, 0, stream));
    });
    row(stream, "of a grid, cooperative groups", values, blocks, ROUNDS, [&] {
        void *arguments[] = {&values};
        MUST(cudaLaunchCooperativeKernel((void *)cooperative_barriers, blocks, THREADS, arguments, 0, stream));
    });
    row(stream, "of a cluster of 8", values, in_clusters, ROUNDS,
        [&] { cluster_barriers<<<in_clusters, THREADS, 0, stream>>>(values); });
    row(stream, "of a cluster of 8, with a word to the neighbour", values, in_clusters, ROUNDS,
        [&] { cluster_trips<<<in_clusters, THREADS, 0, stream>>>(values); });
    return 0;
}
