
// ---- tensor cores, asynchronous copies, shared memory (stands behind common.cu)
//
// A panel in shared memory holds what a block's rows, or lanes, have in 128 bytes of the sum. By rows: a line of 128 bytes for
// each row, summed indices side by side. By depth: a line for each summed index, rows side by side. Pieces of 16 bytes lie
// in a line in another order for each line (SWIZZLE), so that the threads of a warp meet in no bank.
//
// Fragments are those of mma.sync (PTX ISA, "matrix fragments for mma.m16n8k8 / m16n8k16"): thread t of a warp has, of a tile of
// 16 rows and 8 lanes, rows t/4 and t/4 + 8 and lanes 2*(t%4) and the one behind.
#ifndef EMULATED
// So many blocks must find registers on a multiprocessor at once.
#define TENSOR_KERNEL(name, threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks) name
#define SHARED_MEMORY extern __shared__ __align__(128) unsigned char shared_memory[]

INLINE unsigned shared_address(const void *place) { return (unsigned)__cvta_generic_to_shared(place); }

// 16 bytes (or 4), of which the first `bytes` are read; zeros for the others.
INLINE void copy_16(void *to, const void *from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes) : "memory");
}
INLINE void copy_4(void *to, const void *from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes) : "memory");
}
// Copies since the last call are a group.
INLINE void copies_end(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
// All groups but the last `count` have come, for this thread.
#define copies_wait(count) asm volatile("cp.async.wait_group %0;" ::"n"(count) : "memory")

#define WHOLE_BLOCK() __syncthreads()

// Four matrices of 8 lines of 16 bytes, each line's place given by one thread.
INLINE void load_matrices(unsigned *to, const void *line) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(line)));
}

// The same of matrices of 16-bit elements, turned: a register has the same column of two successive lines.
INLINE void load_matrices_turned(unsigned *to, const void *line) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(line)));
}

// low and high: two values each of the rows t/4 and t/4 + 8.
INLINE void multiply_tf32(float *low, float *high, const unsigned *a, const unsigned *b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(low[0]), "+f"(low[1]), "+f"(high[0]), "+f"(high[1])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Two factors of successive summed indices in one register: as they lie in memory, or each rounded to the nearest, ties to
// even: bf16 has 7 bits, f16 10, and infinity from 65520 on.
typedef unsigned Halves;
INLINE Halves halves_bf16(unsigned word) { return word; }
INLINE Halves halves_f16(unsigned word) { return word; }
INLINE Halves round_bf16(float first, float second) {
    Halves both;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}
INLINE Halves round_f16(float first, float second) {
    Halves both;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
    return both;
}

// Both, or a zero for one that is not there.
INLINE Halves halves_kept(Halves both, bool first, bool second) {
    return both & ((first ? 0xffffu : 0u) | (second ? 0xffff0000u : 0u));
}

INLINE void multiply_bf16(float *low, float *high, const Halves *a, const Halves *b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(low[0]), "+f"(low[1]), "+f"(high[0]), "+f"(high[1])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

INLINE void multiply_f16(float *low, float *high, const Halves *a, const Halves *b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(low[0]), "+f"(low[1]), "+f"(high[0]), "+f"(high[1])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Two of memory's 16-bit values in a word, and the other way.
INLINE unsigned pair_bf16(float first, float second) { return round_bf16(first, second); }
INLINE unsigned pair_f16(float first, float second) { return round_f16(first, second); }

// At multiples of as many bytes.
INLINE void read_16(unsigned *words, const void *from) {
    const uint4 read = *(const uint4 *)from;
    words[0] = read.x, words[1] = read.y, words[2] = read.z, words[3] = read.w;
}
INLINE void read_8(unsigned *words, const void *from) {
    const uint2 read = *(const uint2 *)from;
    words[0] = read.x, words[1] = read.y;
}
INLINE void write_16(void *to, const unsigned *words) { *(uint4 *)to = make_uint4(words[0], words[1], words[2], words[3]); }
INLINE void write_8(void *to, const unsigned *words) { *(uint2 *)to = make_uint2(words[0], words[1]); }

// To the nearest of 10 bits.
INLINE unsigned round_tf32(unsigned bits) {
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
    return rounded;
}
INLINE float fast_exp2(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
}
#endif

// exp(x) and exp(x - y) as far as 16 bits can tell.
#define LOG2_E 1.44269504f
INLINE float fast_exp(float x) { return fast_exp2(x * LOG2_E); }
INLINE float fast_exp_of(float x, float y) { return fast_exp2(fmaf(x, LOG2_E, -(y * LOG2_E))); }

// Of all threads that a body is for.
#define block_barrier() WHOLE_BLOCK()

// A single element of 16 bits, or zero. It is there when the asynchronous copies of its stage are: behind a barrier.
INLINE void copy_2(void *to, const void *from, int bytes) {
    *(unsigned short *)to = bytes > 0 ? *(const unsigned short *)from : (unsigned short)0;
}

// From shared memory to shared memory, of which the first `bytes` are read, zeros for the others; there behind a barrier,
// too.
INLINE void move_2(void *to, const void *from, int bytes) { copy_2(to, from, bytes); }
INLINE void move_4(void *to, const void *from, int bytes) {
    *(unsigned *)to = bytes > 0 ? *(const unsigned *)from : 0u;
}
INLINE void move_16(void *to, const void *from, int bytes) {
    if (bytes == 16) {
        unsigned words[4];
        read_16(words, from);
        write_16(to, words);
        return;
    }
    UNROLL
    for (int i = 0; i < 8; i++)
        ((unsigned short *)to)[i] = 2 * i < bytes ? ((const unsigned short *)from)[i] : (unsigned short)0;
}

#define WARP_LANE ((int)(threadIdx.x & 31))
#define WARP ((int)(threadIdx.x >> 5))
// A thread's r-th row and v-th lane of its warp's part of the block, behind exchange_four.
#define OWN_ROW(r) (own_row + 16 * ((r) / 2) + 8 * ((r) % 2))
#define OWN_LANE(v) (own_lane + 16 * ((v) / 4) + (v) % 4)
#define PAIR_LANE(v) (2 * (WARP_LANE & 3) + 8 * ((v) / 2) + (v) % 2)   // before it
#define FIRST_LANE (2 * (WARP_LANE & 2) + 8 * (WARP_LANE & 1))

// ---- sums: two of each 8 lanes as they are multiplied, four side by side for what follows
//
// Of two times 8 lanes thread t has the (t%4)-th two each. Threads 2i and 2i + 1 exchange: the former has lanes 4i .. 4i+3
// of the first 8 then, the latter those of the second.

INLINE float from_neighbour(float value) { return __shfl_xor_sync(0xffffffffu, value, 1, 32); }

INLINE void exchange_four(float *sums) {
    const bool is_odd = WARP_LANE & 1;
    const float first = from_neighbour(is_odd ? sums[0] : sums[2]);
    const float second = from_neighbour(is_odd ? sums[1] : sums[3]);
    sums[0] = is_odd ? first : sums[0];
    sums[1] = is_odd ? second : sums[1];
    sums[2] = is_odd ? sums[2] : first;
    sums[3] = is_odd ? sums[3] : second;
}

// Of a row: the four threads that have its lanes.
INLINE float quad_sum(float value) {
    value += __shfl_xor_sync(0xffffffffu, value, 1, 32);
    return value + __shfl_xor_sync(0xffffffffu, value, 2, 32);
}
INLINE float quad_maximum(float value) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1, 32));
    return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2, 32));
}

// Four lanes side by side in memory, from a multiple of as many on.
INLINE void load_four_f32(float *values, const float *from) {
    unsigned words[4];
    read_16(words, from);
    UNROLL
    for (int i = 0; i < 4; i++) values[i] = __int_as_float((int)words[i]);
}
INLINE void store_four_f32(float *to, const float *values) {
    unsigned words[4];
    UNROLL
    for (int i = 0; i < 4; i++) words[i] = (unsigned)__float_as_int(values[i]);
    write_16(to, words);
}
#define LOAD_FOUR(half)                                                                                        \
    unsigned words[2];                                                                                         \
    read_8(words, from);                                                                                       \
    UNROLL                                                                                                     \
    for (int i = 0; i < 4; i++) values[i] = float_of_##half((unsigned short)(words[i / 2] >> 16 * (i % 2)))
#define STORE_FOUR(half)                                                                                       \
    const unsigned words[2] = {pair_##half(values[0], values[1]), pair_##half(values[2], values[3])};          \
    write_8(to, words)
INLINE void load_four_bf16(float *values, const unsigned short *from) { LOAD_FOUR(bf16); }
INLINE void store_four_bf16(unsigned short *to, const float *values) { STORE_FOUR(bf16); }
INLINE void load_four_f16(float *values, const unsigned short *from) { LOAD_FOUR(f16); }
INLINE void store_four_f16(unsigned short *to, const float *values) { STORE_FOUR(f16); }

// Where piece `piece` of a line lies in a panel by rows, and, of 4-byte elements, in one by depth with lines of `pitch` bytes.
#define PLACE_BY_ROWS(line, piece) ((line) * 128 + (((piece) ^ ((line) & 7)) << 4))
#define PLACE_BY_DEPTH(line, piece, pitch) ((line) * (pitch) + (((piece) ^ (2 * ((line) & 3))) << 4))
// The same where a thread takes two summed indices at once: what a half-warp reads of lines, a warp of every other line.
#define PAIRS_BY_ROWS(line, piece) ((line) * 128 + (((piece) ^ (2 * ((line) & 3))) << 4))
#define PAIRS_BY_DEPTH(line, piece, pitch) ((line) * (pitch) + (((piece) ^ ((line) & 6)) << 4))
// Of 16-bit elements, by rows and by depth; two lines of 64 bytes are one of 128.
#define PLACE_OF_HALVES(line, piece, pitch) \
    ((line) * (pitch) + (((piece) ^ ((pitch) == 64 ? (line) >> 1 & 3 : (line) & 7)) << 4))

// ---- fragments of tf32: 16 rows (or two times 8 lanes) and 8 summed indices, those of the part-th 32 bytes of the panel

INLINE void rows_by_rows_tf32(unsigned *a, const unsigned char *panel, int row, int part) {
    int line = row + (WARP_LANE & 15), piece = 2 * part + (WARP_LANE >> 4);
    load_matrices(a, panel + PLACE_BY_ROWS(line, piece));
    UNROLL
    for (int i = 0; i < 4; i++) a[i] = round_tf32(a[i]);
}

INLINE void lanes_by_rows_tf32(unsigned *b, const unsigned char *panel, int row, int part) {
    int line = row + (WARP_LANE & 7) + 8 * (WARP_LANE >> 4), piece = 2 * part + (WARP_LANE >> 3 & 1);
    load_matrices(b, panel + PLACE_BY_ROWS(line, piece));
    UNROLL
    for (int i = 0; i < 4; i++) b[i] = round_tf32(b[i]);
}

INLINE unsigned word_by_depth(const unsigned char *panel, int pitch, int row, int line) {
    return *(const unsigned *)(panel + PLACE_BY_DEPTH(line, row >> 2, pitch) + 4 * (row & 3));
}

INLINE void rows_by_depth_tf32(unsigned *a, const unsigned char *panel, int pitch, int row, int part) {
    int first = row + (WARP_LANE >> 2), line = 8 * part + (WARP_LANE & 3);
    UNROLL
    for (int i = 0; i < 4; i++) a[i] = round_tf32(word_by_depth(panel, pitch, first + 8 * (i & 1), line + 4 * (i >> 1)));
}

INLINE void lanes_by_depth_tf32(unsigned *b, const unsigned char *panel, int pitch, int row, int part) {
    int first = row + (WARP_LANE >> 2), line = 8 * part + (WARP_LANE & 3);
    UNROLL
    for (int i = 0; i < 4; i++) b[i] = round_tf32(word_by_depth(panel, pitch, first + 8 * (i >> 1), line + 4 * (i & 1)));
}

// ---- rows that lie in a chain's shared memory, line after line: by rows, or, by columns, a line for each summed index

INLINE void placed_rows_tf32(unsigned *a, const unsigned char *lines, int pitch, int row, int part) {
    load_matrices(a, lines + (row + (WARP_LANE & 15)) * pitch + 16 * (2 * part + (WARP_LANE >> 4)));
    UNROLL
    for (int i = 0; i < 4; i++) a[i] = round_tf32(a[i]);
}

INLINE void placed_columns_tf32(unsigned *a, const unsigned char *lines, int pitch, int row, int part) {
    const unsigned char *first = lines + (8 * part + (WARP_LANE & 3)) * pitch + 4 * (row + (WARP_LANE >> 2));
    UNROLL
    for (int i = 0; i < 4; i++) a[i] = round_tf32(*(const unsigned *)(first + 4 * (i >> 1) * pitch + 32 * (i & 1)));
}

// Zeros for a row's elements (of the thread's upper or lower row) whose summed indices are not from `begin` to `end`.
INLINE void keep_tf32(unsigned *a, int lower, int begin, int end, int part) {
    UNROLL
    for (int i = 0; i < 2; i++) {
        const int depth = 8 * part + 4 * i + (WARP_LANE & 3);
        if (depth < begin || depth >= end) a[2 * i + lower] = 0u;
    }
}

// ---- fragments of 16-bit factors are in halves.cu

INLINE float factor_by_depth(const unsigned char *panel, int pitch, int row, int line) {
    return *(const float *)(panel + PAIRS_BY_DEPTH(line, row >> 2, pitch) + 4 * (row & 3));
}
