// What warpgroups of sm_90a have beside a warp's tensor cores, for a C compiler: see emulation.h. Barriers in shared
// memory, boxes of tensors copied into it, products of 64 rows whose factors lie there.
#ifndef TESTS_CUDA_EMULATION_WARPGROUP_H
#define TESTS_CUDA_EMULATION_WARPGROUP_H

// A tensor map, as the driver of the emulation makes it: 128 bytes that nobody else looks into.
enum { EMULATED_MAP = 0x544d4150, EMULATED_MAP_RANK = 5, EMULATED_SHARED_BASE = 1024 };
typedef struct {
    unsigned mark;                                // EMULATED_MAP
    int rank, element, span;                      // bytes of an element; of lines that are swizzled, 0: none are
    unsigned long long address;
    unsigned long long strides[EMULATED_MAP_RANK]; // bytes; of the first dim an element's
    unsigned extents[EMULATED_MAP_RANK], box[EMULATED_MAP_RANK];
    unsigned long long unused[3];
} TensorMap;
_Static_assert(sizeof(TensorMap) == 128, "as a driver has it");

// What the 128 threads of a warpgroup do together.
typedef enum { TOGETHER_FENCE, TOGETHER_PRODUCT, TOGETHER_END, TOGETHER_WAIT, TOGETHER_REGISTERS } TogetherKind;
typedef struct {
    TogetherKind kind;
    int count;                                    // WAIT: groups that may be under way; REGISTERS: of each thread
    // PRODUCT of 64 rows and `lanes`, of 16 summed indices: matrix descriptors, and whether rows or lanes of a factor,
    // not summed indices, lie side by side. A thread's sums: [2][lanes / 4].
    float *sums;
    int lanes;
    unsigned long long a, b;
    int turn_a, turn_b;
} EmulatedTogether;

typedef struct {
    void (*begin)(void *barrier, int arrivals);
    void (*arrive)(void *barrier, int bytes);
    void (*wait)(void *barrier, int parity);
    void (*publish)(void);
    void (*copy)(void *to, const TensorMap *map, void *barrier, int rank, const int *first);
    void (*together)(EmulatedTogether *together);
} EmulatedWarpgroup;

#ifdef EMULATED_KERNELS
#define TENSOR_MAP const TensorMap
#define SHARED_SPAN(place) (EMULATED_SHARED_BASE + (unsigned)((const unsigned char *)(place) - emulated.shared))
#define SHARED_BOXES unsigned char *const shared_boxes = emulated.shared
#define map_prefetch(map) ((void)(map))
#define barrier_begin(barrier, arrivals) emulated.warpgroup.begin(barrier, arrivals)
#define barriers_publish() emulated.warpgroup.publish()
#define barrier_arrive(barrier) emulated.warpgroup.arrive(barrier, 0)
#define barrier_expect(barrier, bytes) emulated.warpgroup.arrive(barrier, bytes)
#define barrier_wait(barrier, parity) emulated.warpgroup.wait(barrier, parity)
#define copy_box_2(to, map, barrier, a, b) emulated.warpgroup.copy(to, map, barrier, 2, (int[]){a, b})
#define copy_box_3(to, map, barrier, a, b, c) emulated.warpgroup.copy(to, map, barrier, 3, (int[]){a, b, c})
#define copy_box_4(to, map, barrier, a, b, c, d) emulated.warpgroup.copy(to, map, barrier, 4, (int[]){a, b, c, d})
#define copy_box_5(to, map, barrier, a, b, c, d, e)                                                                    \
    emulated.warpgroup.copy(to, map, barrier, 5, (int[]){a, b, c, d, e})
#define EMULATED_TOGETHER(...) EMULATED_AT(emulated.warpgroup.together(&(EmulatedTogether){__VA_ARGS__}))
#define registers_decrease(number) EMULATED_TOGETHER(TOGETHER_REGISTERS, number)
#define registers_increase(number) EMULATED_TOGETHER(TOGETHER_REGISTERS, number)
#define products_begin() EMULATED_TOGETHER(TOGETHER_FENCE)
#define products_end() EMULATED_TOGETHER(TOGETHER_END)
#define products_wait(number) EMULATED_TOGETHER(TOGETHER_WAIT, number)
#define products_keep(low, high) ((void)0)
#define EMULATED_PRODUCT(lanes, v, a, b, turn_a, turn_b)                                                               \
    EMULATED_TOGETHER(TOGETHER_PRODUCT, 0, &(v)[0][0], lanes, a, b, turn_a, turn_b)
#define multiply_64_by_64(v, a, b, turn_a, turn_b) EMULATED_PRODUCT(64, v, a, b, turn_a, turn_b)
#define multiply_64_by_128(v, a, b, turn_a, turn_b) EMULATED_PRODUCT(128, v, a, b, turn_a, turn_b)
#define multiply_64_by_192(v, a, b, turn_a, turn_b) EMULATED_PRODUCT(192, v, a, b, turn_a, turn_b)
#define multiply_64_by_256(v, a, b, turn_a, turn_b) EMULATED_PRODUCT(256, v, a, b, turn_a, turn_b)
#endif

#endif
