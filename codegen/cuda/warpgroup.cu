// ---- warpgroups of sm_90a: barriers in shared memory, boxes of tensors, products whose factors lie there (stands
// behind tensor.cu)
//
// A panel is what boxes bring, 128 bytes of the innermost dim at a time: pieces of 16 bytes lie in each line in another
// order (the tensor map says so, as does the matrix descriptor); 8 lines are a block of 1024 bytes, at such a multiple.
//
// A thread's sums of 64 rows are those of mma.sync, one warp beneath the other: rows t/4 and t/4 + 8 of its warp's 16,
// lanes 2*(t%4) and the one behind of each 8. PTX ISA: mbarrier, cp.async.bulk.tensor, wgmma, its matrix descriptor.
#ifndef EMULATED
typedef struct __align__(64) {
    unsigned long long words[16];
} TensorMap;
#define TENSOR_MAP const __grid_constant__ TensorMap
#define SHARED_SPAN(place) shared_address(place)
#define SHARED_BOXES extern __shared__ __align__(1024) unsigned char shared_boxes[]

INLINE void map_prefetch(const TensorMap *map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"((unsigned long long)map) : "memory");
}

// ---- barriers: a phase is over when so many threads have arrived and all bytes expected have come

INLINE void barrier_begin(void *barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
// What was begun is seen by boxes; other threads see it behind a barrier of the block.
INLINE void barriers_publish(void) {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
INLINE void barrier_arrive(void *barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
INLINE void barrier_expect(void *barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}
// Until the phase of that parity is over: phases have parities 0, 1, 0, ...; before the first one that of 1 is over.
INLINE void barrier_wait(void *barrier, int parity) {
    unsigned is_over;
    do
        asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                     : "=r"(is_over)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
    while (!is_over);
}

// ---- a box of a tensor, from its first element in each dim on; zeros outside of the tensor. Its bytes count for the
// barrier

#define COPY_BOX(dims, coordinates, ...)                                                                    \
    asm volatile("cp.async.bulk.tensor." dims                                                               \
                 ".shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, " coordinates "], [%2];" \
                 ::"r"(shared_address(to)), "l"((unsigned long long)map), "r"(shared_address(barrier)),     \
                 __VA_ARGS__                                                                                \
                 : "memory")
INLINE void copy_box_2(void *to, const TensorMap *map, void *barrier, int a, int b) {
    COPY_BOX("2d", "{%3, %4}", "r"(a), "r"(b));
}
INLINE void copy_box_3(void *to, const TensorMap *map, void *barrier, int a, int b, int c) {
    COPY_BOX("3d", "{%3, %4, %5}", "r"(a), "r"(b), "r"(c));
}
INLINE void copy_box_4(void *to, const TensorMap *map, void *barrier, int a, int b, int c, int d) {
    COPY_BOX("4d", "{%3, %4, %5, %6}", "r"(a), "r"(b), "r"(c), "r"(d));
}
INLINE void copy_box_5(void *to, const TensorMap *map, void *barrier, int a, int b, int c, int d, int e) {
    COPY_BOX("5d", "{%3, %4, %5, %6, %7}", "r"(a), "r"(b), "r"(c), "r"(d), "r"(e));
}

// ---- registers of a warpgroup's threads, of those that the block began with

#define registers_decrease(count) asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(count))
#define registers_increase(count) asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(count))

// ---- products: begun, multiplied, ended (a group), waited for: all groups but the last `count` are done

#define products_begin() asm volatile("wgmma.fence.sync.aligned;" ::: "memory")
#define products_end() asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory")
#define products_wait(count) asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(count) : "memory")
// Sums are read behind the wait only, though it does not name them.
#define products_keep(low, high) asm volatile("" : "+f"(low), "+f"(high)::"memory")

#define SUMS_8(v, j)                                                                              \
    "+f"(v[0][j]), "+f"(v[0][j + 1]), "+f"(v[1][j]), "+f"(v[1][j + 1]), "+f"(v[0][j + 2]), \
        "+f"(v[0][j + 3]), "+f"(v[1][j + 2]), "+f"(v[1][j + 3])
#define SUMS_32(v, j) SUMS_8(v, j), SUMS_8(v, (j) + 4), SUMS_8(v, (j) + 8), SUMS_8(v, (j) + 12)
#define NUMBERS_0 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define NUMBERS_1 \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define NUMBERS_2 \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define NUMBERS_3 \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
// 64 rows, `lanes`, 16 summed indices; a, b: matrices. turn_a, turn_b: 1 where rows, or lanes, lie side by side.
#define MULTIPLY_64(lanes, numbers, a_at, b_at, turn_a_at, turn_b_at, a, b, turn_a, turn_b, ...)            \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" lanes "k16.f32.bf16.bf16 {" numbers "}, " a_at ", " b_at \
                 ", 1, 1, 1, " turn_a_at ", " turn_b_at ";"                                                  \
                 : __VA_ARGS__                                                                              \
                 : "l"(a), "l"(b), "n"(turn_a), "n"(turn_b))
#define multiply_64_by_64(v, a, b, turn_a, turn_b) \
    MULTIPLY_64("64", NUMBERS_0, "%32", "%33", "%34", "%35", a, b, turn_a, turn_b, SUMS_32(v, 0))
#define multiply_64_by_128(v, a, b, turn_a, turn_b) \
    MULTIPLY_64("128", NUMBERS_0 ", " NUMBERS_1, "%64", "%65", "%66", "%67", a, b, turn_a, turn_b, SUMS_32(v, 0), \
                SUMS_32(v, 16))
#define multiply_64_by_192(v, a, b, turn_a, turn_b) \
    MULTIPLY_64("192", NUMBERS_0 ", " NUMBERS_1 ", " NUMBERS_2, "%96", "%97", "%98", "%99", a, b, turn_a, \
                turn_b, SUMS_32(v, 0), SUMS_32(v, 16), SUMS_32(v, 32))
#define multiply_64_by_256(v, a, b, turn_a, turn_b) \
    MULTIPLY_64("256", NUMBERS_0 ", " NUMBERS_1 ", " NUMBERS_2 ", " NUMBERS_3, "%128", "%129", "%130", "%131", a, \
                b, turn_a, turn_b, SUMS_32(v, 0), SUMS_32(v, 16), SUMS_32(v, 32), SUMS_32(v, 48))
#endif

#define WARPGROUP ((int)(threadIdx.x >> 7))
// A thread's r-th row of its warpgroup's.
#define GROUP_ROW(r) (own_row + 64 * ((r) / 2) + 8 * ((r) % 2))

// Matrices of 128-byte lines. By rows: a line for each row, 64 summed indices side by side; part-th 16 of them. By
// depth: a line for each summed index, 64 rows (or lanes) side by side, the next 64 `further` bytes on; part-th 16.
INLINE unsigned long long matrix_by_rows(const unsigned char *panel, int part) {
    unsigned long long start = (SHARED_SPAN(panel) & 0x3ffff) >> 4;
    return start + 2 * part | 1ull << 16 | 64ull << 32 | 1ull << 62;
}
INLINE unsigned long long matrix_by_depth(const unsigned char *panel, int part, int further) {
    unsigned long long start = (SHARED_SPAN(panel) & 0x3ffff) >> 4;
    return start + 128 * part | (unsigned long long)(further >> 4) << 16 | 64ull << 32 | 1ull << 62;
}
