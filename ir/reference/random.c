// Counter-based random numbers: the same bits for a logical index wherever and whenever it is computed.
//
//     (a, b) = threefry(key = (seed, site key), counter = (step, micro))
//     bits   = first word of threefry(key = (a, b), counter = (low and high half of the index))
//     value  = (bits >> 8) * 2^-24                                                   uniform in [0, 1)
//
// index is the row-major flat index over the node's dims in ascending dim id, whatever order the value is stored in.
// Method: Threefry-2x32 with 20 rounds, Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011.
#include "ir/reference/ops.h"
#include "ir/reference/reference.h"

static uint32_t rotate(uint32_t word, int left) {
    return (word << left) | (word >> (32 - left));
}

void reference_threefry(const uint32_t key[2], const uint32_t counter[2], uint32_t result[2]) {
    static const int rotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};
    const uint32_t keys[3] = {key[0], key[1], 0x1BD11BDAu ^ key[0] ^ key[1]};
    uint32_t x = counter[0] + keys[0], y = counter[1] + keys[1];
    for (uint32_t round = 1; round <= 20; round++) {
        x += y;
        y = rotate(y, rotations[(round - 1) % 8]) ^ x;
        if (round % 4 == 0) { // the key is injected again after every fourth round
            uint32_t injection = round / 4;
            x += keys[injection % 3];
            y += keys[(injection + 1) % 3] + injection;
        }
    }
    result[0] = x;
    result[1] = y;
}

uint32_t reference_site_key(const char *site) {
    uint32_t hash = 2166136261u; // FNV-1a
    for (; *site; site++)
        hash = (hash ^ (unsigned char)*site) * 16777619u;
    return hash;
}

static uint32_t bits_at(const uint32_t stream[2], uint64_t index) {
    uint32_t words[2];
    reference_threefry(stream, (uint32_t[]){(uint32_t)index, (uint32_t)(index >> 32)}, words);
    return words[0];
}

uint32_t reference_random_bits(uint32_t seed, uint32_t step, uint32_t micro, const char *site, uint64_t index) {
    uint32_t stream[2];
    reference_threefry((uint32_t[]){seed, reference_site_key(site)}, (uint32_t[]){step, micro}, stream);
    return bits_at(stream, index);
}

static uint32_t scalar_operand(const Work *work, int operand) {
    return (uint32_t)(int64_t)work_values(work, operand)[0];
}

void reference_random(const Work *work) {
    uint32_t stream[2], seed = scalar_operand(work, 0), step = scalar_operand(work, 1), micro = scalar_operand(work, 2);
    reference_threefry((uint32_t[]){seed, reference_site_key(work->node->attr.site)}, (uint32_t[]){step, micro},
                       stream);
    DimList ascending = {0};
    for (DimId dim = 0; dim < MAX_DIMS; dim++) {
        if (dim_in(work->node->dims, dim)) ascending.dims[ascending.rank++] = dim;
    }
    Strides stored = strides_dense(work->graph, work->node->order), logical = strides_dense(work->graph, ascending);
    WalkOrder order = {0};
    walk_order_add(&order, &ascending, ~(DimSet)0);
    for (Walk walk = walk_start(work->graph, &order, (const Strides *[]){&stored, &logical}, 2); walk.more;
         walk_next(&walk)) {
        for (int64_t i = 0; i < walk.length; i++) {
            uint32_t bits = bits_at(stream, (uint64_t)(walk.offset[1] + i * walk.step[1]));
            work->result[walk.offset[0] + i * walk.step[0]] = (double)(bits >> 8) * 0x1p-24;
        }
    }
}
