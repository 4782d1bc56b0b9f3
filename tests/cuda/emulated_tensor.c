// Shared memory, cp.async, ldmatrix and mma.sync on a CPU (see emulated_tensor.h), by the PTX ISA's tables of
// fragments.
#include "tests/cuda/emulated_tensor.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/diag.h"

enum { MOST_THREADS = EMULATED_FIBERS, MOST_COPIES = 1024, MOST_GROUPS = 64, MOST_SHARED = 256 << 10, WARP = 32 };

// ---- shared memory

unsigned char *shared_memory(uint32_t slot, size_t bytes, bool at_begin) {
    static unsigned char *of_slot[EMULATED_BLOCKS];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (bytes + page - 1) / page * page;
    if (bytes == 0) return NULL;
    CHECK(slot < EMULATED_BLOCKS && bytes <= MOST_SHARED && bytes % 128 == 0);
    unsigned char *pages = of_slot[slot];
    if (!pages) {
        pages = mmap(NULL, MOST_SHARED + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (pages == MAP_FAILED) BUG("no memory for shared memory");
        of_slot[slot] = pages;
    }
    if (mprotect(pages, MOST_SHARED + 2 * page, PROT_NONE) != 0 ||
        mprotect(pages + page, inside, PROT_READ | PROT_WRITE) != 0)
        BUG("shared memory cannot be guarded");
    memset(pages + page, 0xff, inside);
    return pages + page + (at_begin ? 0 : inside - bytes);
}

// ---- copies

typedef struct {
    EmulatedCopy copies[MOST_COPIES];
    int group_of[MOST_COPIES];
    int count, group;
} Pending;

static Pending pending[MOST_THREADS];
static const char *complaint;

static void copy_now(const EmulatedCopy *copy) {
    memcpy(copy->to, copy->from, (size_t)copy->bytes);
    memset((char *)copy->to + copy->bytes, 0, (size_t)(copy->whole - copy->bytes));
}

void access_begins(uintptr_t place, int bytes) {
    if (place % (uintptr_t)bytes != 0) complaint = "an access of 8 or 16 bytes does not begin at such a multiple";
}

void copies_begin(uint32_t thread, const EmulatedCopy *copy, uintptr_t place, bool at_once) {
    Pending *mine = &pending[thread];
    if ((uintptr_t)copy->to % (uintptr_t)copy->whole != 0 || (copy->bytes > 0 && place % (uintptr_t)copy->whole != 0))
        complaint = "a copy of 16 bytes does not begin at a multiple of 16";
    if (copy->bytes < 0 || copy->bytes > copy->whole) complaint = "a copy of more bytes than it has";
    if (complaint) return;
    if (at_once) {
        copy_now(copy);
        return;
    }
    memset(copy->to, 0xff, (size_t)copy->whole);
    CHECK(mine->count < MOST_COPIES);
    mine->group_of[mine->count] = mine->group;
    mine->copies[mine->count++] = *copy;
}

void copies_group(uint32_t thread) {
    pending[thread].group++;
}

void copies_finish(uint32_t thread, int but_last) {
    Pending *mine = &pending[thread];
    int kept = 0;
    for (int i = 0; i < mine->count; i++) {
        if (mine->group_of[i] < mine->group - but_last) {
            copy_now(&mine->copies[i]);
            continue;
        }
        mine->copies[kept] = mine->copies[i];
        mine->group_of[kept++] = mine->group_of[i];
    }
    mine->count = kept;
}

void copies_forget(uint32_t thread) {
    complaint = NULL;
    pending[thread].count = pending[thread].group = 0;
}

const char *copies_complaint(uint32_t threads) {
    for (uint32_t i = 0; i < threads; i++)
        if (pending[i].count > 0 && !complaint) complaint = "a thread ends before its copies have come";
    return complaint;
}

// ---- warps

// Register m of thread t is, of matrix m, word t%4 of line t/4; of one that is turned halves t/4 of lines 2*(t%4) and
// the next. Threads 8*m .. 8*m+7 bring the places of its lines.
static unsigned word_of(EmulatedMatrices *const *brought, int m, int t) {
    unsigned word;
    if (!brought[8 * m]->turned) {
        memcpy(&word, (const char *)brought[8 * m + t / 4]->line + 4 * (t % 4), sizeof word);
        return word;
    }
    uint16_t halves[2];
    for (int i = 0; i < 2; i++) {
        const EmulatedMatrices *line = brought[8 * m + 2 * (t % 4) + i];
        memcpy(&halves[i], (const char *)line->line + 2 * (t / 4), sizeof *halves);
    }
    return halves[0] | (unsigned)halves[1] << 16;
}

void warp_load_matrices(EmulatedMatrices *const *brought) {
    unsigned words[WARP][4];
    for (int t = 0; t < WARP; t++)
        for (int m = 0; m < 4; m++) words[t][m] = word_of(brought, m, t);
    for (int t = 0; t < WARP; t++) memcpy(brought[t]->to, words[t], sizeof words[t]);
}

static float factor(unsigned bits, int in_register, bool exact) {
    unsigned kept = exact || in_register == 2 ? bits : bits & ~0x1fffu;   // tf32: nobody looks at the other bits
    float value;
    memcpy(&value, &kept, sizeof value);
    return value;
}

// Summed indices are dealt out to 4 threads, then to their registers; successive ones are in one register. a: of row r
// threads 4*(r%8) to 4*(r%8) + 3 have registers r/8 and r/8 + 2; b: of lane l threads 4*l to 4*l + 3 have both.
static float sum_of(EmulatedProduct *const *brought, int row, int lane, float start, bool exact) {
    double wide = start;
    float chain = start;
    int in_register = brought[0]->in_register;
    for (int k = 0; k < 8 * in_register; k++) {
        int thread = k / in_register % 4, word = k % in_register, later = k / in_register / 4;
        unsigned of_row = brought[row % 8 * 4 + thread]->a[(row / 8 + 2 * later) * in_register + word];
        unsigned of_lane = brought[lane * 4 + thread]->b[later * in_register + word];
        float a = factor(of_row, in_register, exact), b = factor(of_lane, in_register, exact);
        chain = fmaf(a, b, chain);
        wide += (double)a * b;
    }
    return exact ? chain : (float)wide;
}

void warp_multiply(EmulatedProduct *const *brought, bool exact) {
    float sums[WARP][4];
    for (int t = 0; t < WARP; t++)
        for (int i = 0; i < 4; i++) {
            float start = i < 2 ? brought[t]->low[i] : brought[t]->high[i - 2];
            sums[t][i] = sum_of(brought, t / 4 + 8 * (i / 2), 2 * (t % 4) + i % 2, start, exact);
        }
    for (int t = 0; t < WARP; t++) {
        memcpy(brought[t]->low, sums[t], 2 * sizeof(float));
        memcpy(brought[t]->high, sums[t] + 2, 2 * sizeof(float));
    }
}
