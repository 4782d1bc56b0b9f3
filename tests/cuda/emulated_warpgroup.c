// Barriers, boxes, products of warpgroups (see emulated_warpgroup.h), by the PTX ISA: mbarrier, cp.async.bulk.tensor,
// "asynchronous warpgroup level matrix shared memory layout", matrix descriptors.
#include "tests/cuda/emulated_warpgroup.h"

#include <math.h>
#include <string.h>

#include "base/diag.h"

enum { MOST_BARRIERS = 64, MOST_BOXES = 256, MOST_GROUPS_OF_WARPS = 8, MOST_PRODUCTS = 64 };
enum { MOST_SUMS = 2, ROWS = 64, MOST_LANES = 256, DEPTH = 16, BARRIER_BYTES = 8 };

typedef struct {
    unsigned char *place;
    int expected, pending, phase;
    int64_t bytes; // that have yet to come
} Barrier;

typedef struct {
    unsigned char *to;
    TensorMap map;
    void *barrier;
    int first[EMULATED_MAP_RANK];
} Box;

typedef struct {
    EmulatedTogether how;
    int group, sums; // which of the warpgroup's
} Product;

// Sums under way: the registers of the threads are full of NaNs meanwhile.
typedef struct {
    bool is_hidden;
    float *registers[WARPGROUP];
    int lanes;
    float values[ROWS][MOST_LANES];
} Sums;

typedef struct {
    Product products[MOST_PRODUCTS];
    int count, groups; // under way; groups ended so far
    bool is_fenced;
    Sums sums[MOST_SUMS];
} Warpgroup;

static struct {
    WarpgroupBlock block;
    Barrier barriers[MOST_BARRIERS];
    int barrier_count;
    bool is_published, is_met; // what was begun is seen by boxes, by other threads
    Box boxes[MOST_BOXES];
    int box_count;
    Warpgroup warpgroups[MOST_GROUPS_OF_WARPS];
    const char *complaint;
} machine;

static void complain(const char *what) {
    if (!machine.complaint) machine.complaint = what;
}

void warpgroup_begin(const WarpgroupBlock *block) {
    machine.block = *block;
    machine.barrier_count = machine.box_count = 0;
    machine.is_published = machine.is_met = false;
    machine.complaint = NULL;
    for (int i = 0; i < MOST_GROUPS_OF_WARPS; i++) {
        Warpgroup *group = &machine.warpgroups[i];
        group->count = group->groups = 0;
        group->is_fenced = false;
        for (int k = 0; k < MOST_SUMS; k++)
            group->sums[k].is_hidden = false;
    }
}

const char *warpgroup_complaint(bool is_over) {
    for (int i = 0; i < MOST_GROUPS_OF_WARPS * MOST_SUMS && is_over; i++)
        if (machine.warpgroups[i / MOST_SUMS].sums[i % MOST_SUMS].is_hidden)
            complain("a warpgroup ends before its products are waited for");
    if (is_over && machine.box_count > 0) complain("a block ends before its boxes have come");
    return machine.complaint;
}

static bool is_shared(const void *place, size_t bytes) {
    const unsigned char *at = place, *shared = machine.block.shared;
    return shared && at >= shared && at + bytes <= shared + machine.block.shared_bytes;
}

// ---- barriers

static Barrier *find_barrier(const void *place) {
    for (int i = 0; i < machine.barrier_count; i++)
        if (machine.barriers[i].place == place) return &machine.barriers[i];
    return NULL;
}

// What lies in memory: nobody else writes there.
static uint64_t image_of(const Barrier *barrier) {
    uint64_t place = (uint64_t)(barrier->place - machine.block.shared);
    return 0xb0b0000000000000u | place << 16 | (uint64_t)barrier->pending << 1 | (uint64_t)barrier->phase;
}

static void show(const Barrier *barrier) {
    uint64_t image = image_of(barrier);
    memcpy(barrier->place, &image, sizeof image);
}

static Barrier *sound_barrier(const void *place) {
    Barrier *barrier = find_barrier(place);
    uint64_t image;
    if (!barrier || !machine.is_met) {
        complain("a barrier in shared memory that nobody has begun, or not all threads know of");
        return NULL;
    }
    memcpy(&image, barrier->place, sizeof image);
    if (image == image_of(barrier)) return barrier;
    complain("a barrier in shared memory is written over");
    return NULL;
}

void barrier_begin(void *place, int arrivals) {
    if (!is_shared(place, BARRIER_BYTES) || (uintptr_t)place % BARRIER_BYTES != 0)
        return complain("a barrier that lies elsewhere than at a multiple of 8 in shared memory");
    if (arrivals < 1 || arrivals > 1024) return complain("a barrier of no arrivals, or of too many");
    if (find_barrier(place)) return complain("a barrier is begun twice");
    CHECK(machine.barrier_count < MOST_BARRIERS);
    Barrier *barrier = &machine.barriers[machine.barrier_count++];
    *barrier = (Barrier){.place = place, .expected = arrivals, .pending = arrivals};
    machine.is_published = machine.is_met = false;
    show(barrier);
}

void barriers_publish(void) {
    machine.is_published = true;
}

void barriers_meet(void) {
    machine.is_met = true;
}

static void end_phase(Barrier *barrier) {
    bool is_over = barrier->pending == 0 && barrier->bytes == 0;
    if (is_over) {
        barrier->phase ^= 1;
        barrier->pending = barrier->expected;
    }
    show(barrier);
    if (is_over) machine.block.wake(barrier->place);
}

void barrier_arrive(void *place, int bytes) {
    Barrier *barrier = sound_barrier(place);
    if (!barrier) return;
    if (barrier->pending == 0) return complain("more threads arrive at a barrier than it was begun for");
    barrier->pending--;
    barrier->bytes += bytes;
    end_phase(barrier);
}

bool barrier_passes(const void *place, int parity) {
    const Barrier *barrier = sound_barrier(place);
    if (parity != 0 && parity != 1) complain("a parity that is neither 0 nor 1");
    return !barrier || barrier->phase != parity;
}

// ---- boxes

static uint64_t box_bytes(const TensorMap *map) {
    uint64_t bytes = (uint64_t)map->element;
    for (int i = 0; i < map->rank; i++)
        bytes *= map->box[i];
    return bytes;
}

// The address as tensor cores and boxes see it: of 18 bits.
static uint32_t span_of(const unsigned char *place) {
    return EMULATED_SHARED_BASE + (uint32_t)(place - machine.block.shared);
}

// Pieces of 16 bytes in another order in each line of 128 bytes: of `span` bytes, 2, 4 or 8 of them change places.
static uint32_t swizzled(uint32_t address, int span, uint32_t base) {
    uint32_t pieces = span ? (uint32_t)span / 16 : 1;
    return address ^ ((((address >> 7) - base) & (pieces - 1)) << 4);
}

void box_begin(void *to, const TensorMap *map, void *barrier, int rank, const int *first) {
    if (map->mark != EMULATED_MAP) return complain("a box of what is no tensor map");
    if (rank != map->rank) return complain("a box of another rank than its tensor");
    if (!is_shared(to, box_bytes(map)) || span_of(to) % 128 != 0)
        return complain("a box that does not go to a multiple of 128 in shared memory");
    if (map->span && (int)map->box[0] * map->element != map->span)
        return complain("a box whose lines are not as long as what is swizzled");
    if (!sound_barrier(barrier)) return;
    if (!machine.is_published) return complain("a box for a barrier that is not published");
    CHECK(machine.box_count < MOST_BOXES);
    Box *box = &machine.boxes[machine.box_count++];
    *box = (Box){.to = to, .map = *map, .barrier = barrier};
    memcpy(box->first, first, (size_t)rank * sizeof *first);
    memset(to, 0xff, box_bytes(map));
}

// Element by element, the first dim's side by side; what lies outside of the tensor is zero.
static void copy_box(const Box *box) {
    const TensorMap *map = &box->map;
    uint64_t count = box_bytes(map) / (uint64_t)map->element;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t rest = i, offset = 0;
        bool is_inside = true;
        for (int d = 0; d < map->rank; d++) {
            int64_t at = box->first[d] + (int64_t)(rest % map->box[d]);
            rest /= map->box[d];
            is_inside &= at >= 0 && at < (int64_t)map->extents[d];
            offset += (uint64_t)at * map->strides[d];
        }
        uint32_t address = swizzled(span_of(box->to) + (uint32_t)i * (uint32_t)map->element, map->span, 0);
        unsigned char *to = machine.block.shared + address - EMULATED_SHARED_BASE;
        if (is_inside)
            memcpy(to, (const char *)(uintptr_t)map->address + offset, (size_t)map->element);
        else
            memset(to, 0, (size_t)map->element);
    }
}

bool box_comes(void) {
    if (machine.box_count == 0) return false;
    uint32_t at = machine.block.draw((uint32_t)machine.box_count);
    Box box = machine.boxes[at];
    machine.boxes[at] = machine.boxes[--machine.box_count];
    copy_box(&box);
    Barrier *barrier = sound_barrier(box.barrier);
    if (!barrier) return true;
    barrier->bytes -= (int64_t)box_bytes(&box.map);
    end_phase(barrier);
    return true;
}

// ---- matrix descriptors

typedef struct {
    uint32_t start, leading, stride, base;
    int span; // bytes of a line that is swizzled; 16: nothing is
} Matrix;

static Matrix matrix_of(uint64_t descriptor) {
    static const int spans[] = {16, 128, 64, 32};
    return (Matrix){.start = (uint32_t)(descriptor & 0x3fff) << 4,
                    .leading = (uint32_t)(descriptor >> 16 & 0x3fff) << 4,
                    .stride = (uint32_t)(descriptor >> 32 & 0x3fff) << 4,
                    .base = (uint32_t)(descriptor >> 49 & 7),
                    .span = spans[descriptor >> 62]};
}

// Element (row, depth) of a matrix of 16-bit elements. Summed indices side by side: lines of `span` bytes, 8 of them a
// block, blocks `stride` apart. Rows side by side (turned): lines of `span` bytes of rows, one for each summed index, 8
// of them a block; the next rows are `leading` bytes further, the next 8 summed indices `stride`. Where nothing is
// swizzled the two change places, and blocks of 8 by 16 bytes lie one by one.
static uint32_t element_at(const Matrix *matrix, int row, int depth, int is_turned) {
    uint32_t line = (uint32_t)matrix->span, side = (uint32_t)(is_turned ? row : depth);
    uint32_t across = (uint32_t)(is_turned ? depth : row), in_line = line / 2;
    uint32_t further = side / in_line, block = across / 8;
    bool is_plain = line == 16;
    if (!is_plain && !is_turned) further = 0;
    uint32_t by_further = is_plain == (is_turned != 0) ? matrix->stride : matrix->leading;
    uint32_t by_block = is_plain && is_turned ? matrix->leading : matrix->stride;
    uint32_t address = matrix->start + further * by_further + block * by_block + across % 8 * line + side % in_line * 2;
    return is_plain ? address : swizzled(address, matrix->span, matrix->base);
}

// Where lines of 128 bytes hold the whole of a product's depth, nothing is further along it.
static float read_element(const Matrix *matrix, int row, int depth, int is_turned) {
    uint32_t address = element_at(matrix, row, depth, is_turned);
    uint16_t half = 0x7fff;
    if (address < EMULATED_SHARED_BASE || address + 2 > EMULATED_SHARED_BASE + machine.block.shared_bytes)
        complain("a matrix that is not in shared memory");
    else
        memcpy(&half, machine.block.shared + address - EMULATED_SHARED_BASE, sizeof half);
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// ---- products

static inline __attribute__((always_inline)) void add_up(float sums[ROWS][MOST_LANES], int lanes,
                                                         float (*restrict a)[DEPTH], float (*restrict b)[MOST_LANES],
                                                         bool exact) {
    for (int row = 0; row < ROWS; row++) {
        if (exact) {
            for (int k = 0; k < DEPTH; k++)
                for (int lane = 0; lane < lanes; lane++)
                    sums[row][lane] = fmaf(a[row][k], b[k][lane], sums[row][lane]);
            continue;
        }
        for (int lane = 0; lane < lanes; lane++) {
            double sum = sums[row][lane];
            for (int k = 0; k < DEPTH; k++)
                sum += (double)a[row][k] * b[k][lane];
            sums[row][lane] = (float)sum;
        }
    }
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void add_up_fast(float sums[ROWS][MOST_LANES], int lanes, float (*a)[DEPTH],
                                                            float (*b)[MOST_LANES], bool exact) {
    add_up(sums, lanes, a, b, exact);
}
static bool is_fast(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
static void add_up_fast(float sums[ROWS][MOST_LANES], int lanes, float (*a)[DEPTH], float (*b)[MOST_LANES],
                        bool exact) {
    add_up(sums, lanes, a, b, exact);
}
static bool is_fast(void) {
    return false;
}
#endif

static void multiply(Sums *sums, const EmulatedTogether *how) {
    static float a[ROWS][DEPTH], b[DEPTH][MOST_LANES];
    const Matrix rows = matrix_of(how->a), lanes = matrix_of(how->b);
    for (int k = 0; k < DEPTH; k++) {
        for (int row = 0; row < ROWS; row++)
            a[row][k] = read_element(&rows, row, k, how->turn_a);
        for (int lane = 0; lane < how->lanes; lane++)
            b[k][lane] = read_element(&lanes, lane, k, how->turn_b);
    }
    if (is_fast())
        add_up_fast(sums->values, how->lanes, a, b, machine.block.exact);
    else
        add_up(sums->values, how->lanes, a, b, machine.block.exact);
}

// Thread t has of rows 16*(t/32) + t%32/4 and the 8th behind lanes 8*j + 2*(t%4) and the next.
static float *sum_at(Sums *sums, int thread, int r, int v) {
    return &sums->values[16 * (thread / 32) + thread % 32 / 4 + 8 * r][8 * (v / 2) + 2 * (thread % 4) + v % 2];
}

static void hide_sums(Sums *sums, EmulatedTogether *const *brought) {
    sums->is_hidden = true;
    sums->lanes = brought[0]->lanes;
    int each = sums->lanes / 4;
    for (int t = 0; t < WARPGROUP; t++) {
        sums->registers[t] = brought[t]->sums;
        for (int i = 0; i < 2 * each; i++)
            *sum_at(sums, t, i / each, i % each) = brought[t]->sums[i];
        memset(brought[t]->sums, 0xff, 2 * (size_t)each * sizeof(float));
    }
}

static void show_sums(Sums *sums) {
    int each = sums->lanes / 4;
    if (!sums->is_hidden) return;
    for (int t = 0; t < WARPGROUP; t++)
        for (int i = 0; i < 2 * each; i++)
            sums->registers[t][i] = *sum_at(sums, t, i / each, i % each);
    sums->is_hidden = false;
}

static void run_products(Warpgroup *group, int before) {
    int kept = 0;
    for (int i = 0; i < group->count; i++) {
        const Product *product = &group->products[i];
        if (product->group < before)
            multiply(&group->sums[product->sums], &product->how);
        else
            group->products[kept++] = *product;
    }
    group->count = kept;
}

// Those under way, or hidden from now on; -1: there are others.
static int find_sums(Warpgroup *group, EmulatedTogether *const *brought) {
    for (int k = 0; k < MOST_SUMS; k++)
        if (group->sums[k].is_hidden && group->sums[k].registers[0] == brought[0]->sums) return k;
    for (int k = 0; k < MOST_SUMS; k++) {
        if (group->sums[k].is_hidden) continue;
        hide_sums(&group->sums[k], brought);
        return k;
    }
    return -1;
}

static void begin_product(Warpgroup *group, EmulatedTogether *const *brought) {
    const EmulatedTogether *how = brought[0];
    for (int t = 1; t < WARPGROUP; t++)
        if (brought[t]->a != how->a || brought[t]->b != how->b)
            complain("threads of a warpgroup have different matrix descriptors");
    if (!group->is_fenced) complain("products whose sums are not fenced");
    int k = find_sums(group, brought);
    for (int t = 0; t < WARPGROUP; t++)
        if (k < 0 || group->sums[k].registers[t] != brought[t]->sums || group->sums[k].lanes != how->lanes)
            complain("products of other sums before those under way are waited for");
    if (machine.complaint) return;
    CHECK(group->count < MOST_PRODUCTS);
    group->products[group->count++] = (Product){*how, group->groups, k};
    if (machine.block.draw(4) == 0) run_products(group, group->groups + 1);
}

void warpgroup_together(uint32_t warpgroup, EmulatedTogether *const *brought) {
    CHECK(warpgroup < MOST_GROUPS_OF_WARPS);
    Warpgroup *group = &machine.warpgroups[warpgroup];
    int count = brought[0]->count;
    switch (brought[0]->kind) {
    case TOGETHER_FENCE: group->is_fenced = true; return;
    case TOGETHER_PRODUCT: begin_product(group, brought); return;
    case TOGETHER_END:
        group->groups++;
        group->is_fenced = false;
        return;
    case TOGETHER_WAIT:
        run_products(group, group->groups - count);
        for (int k = 0; k < MOST_SUMS && group->count == 0; k++)
            show_sums(&group->sums[k]);
        return;
    case TOGETHER_REGISTERS:
        if (count < 24 || count > 256 || count % 8 != 0) complain("so many registers cannot be had");
        return;
    }
}
