// ---- many launches as one kernel (persist.c; stands behind common.cu and tensor.cu)
//
// All blocks of the grid are there at once: a cooperative launch. They take the work of a phase, meet, and go on with the
// next one.
#ifndef EMULATED
// A function that is compiled once, with registers of its own.
#define FUNCTION static __device__ __noinline__
#define TABLE static __constant__ const
// The first threads of a block, whole warps.
#define PART_OF_BLOCK(threads) asm volatile("bar.sync 1, %0;" ::"n"(threads) : "memory")

// What the block has written is there for whoever sees that it has arrived.
INLINE unsigned count_arrival(unsigned *count, unsigned add) {
    __threadfence();
    return atomicAdd(count, add);
}
// Until the highest bit is another one: then what all blocks wrote before is there, and what was read of it earlier is not
// taken for it.
INLINE void await_flip(const unsigned *count, unsigned before) {
    unsigned now;
    do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(count) : "memory");
    while (((now ^ before) & 0x80000000u) == 0);
}
#endif

// All threads of the grid. Blocks add up to 2^31 each time, so the highest bit changes when the last one arrives, and all
// others are zeros again: any number of barriers and of launches may follow. (The barrier of NVIDIA's cooperative groups.)
INLINE void grid_barrier(unsigned *count) {
    WHOLE_BLOCK();
    if (threadIdx.x == 0) {
        unsigned add = blockIdx.x == 0 ? 0x80000000u - (gridDim.x - 1) : 1u;
        await_flip(count, count_arrival(count, add));
    }
    WHOLE_BLOCK();
}

// So many blocks of one body, the last ones of their phase up to `end`, with buffers from places[buffers] on.
typedef struct {
    unsigned end, body, blocks, buffers;
} Work;

// Where buffers are: bytes behind the beginning of the states or, where the lowest bit is set, of the arena, times two.
typedef struct {
    unsigned char *states, *arena;
    const unsigned *places;
} Buffers;
#define BUFFER(i) ((buffers.places[i] & 1 ? buffers.arena : buffers.states) + (buffers.places[i] >> 1))

// A body, and its parameters.
#define BODY(name) FUNCTION void name(const Buffers buffers, const int block, const int blocks)

// Warps of one number are side by side in all blocks: where there are few workers, all multiprocessors have some.
#define BY_WARPS ((((int)(threadIdx.x >> 5) * blocks + block) << 1) + (int)(threadIdx.x >> 4 & 1))
