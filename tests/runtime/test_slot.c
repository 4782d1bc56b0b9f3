// Layouts: the tables of slot.c against the definition in program.h, element by element.
#include "support.h"

#include <math.h>

#include "runtime/slot.h"

// digit p = (sum over d of index[d] * weights[p][d]) / divisor[p] % radix[p]; the offset is their mixed-radix number.
static int64_t defined_offset(const ProgramSlot *slot, const int64_t *index) {
    int64_t offset = 0;
    for (int p = 0; p < slot->piece_count; p++) {
        int64_t flat = 0;
        for (int d = 0; d < slot->rank; d++)
            flat += index[d] * slot->pieces[p].weights[d];
        offset = offset * slot->pieces[p].radix + flat / slot->pieces[p].divisor % slot->pieces[p].radix;
    }
    return offset;
}

// A few elements at a time, the last ones first.
static void check_parts(Fixture *fixture, const ProgramSlot *slot, const float *stored, const float *expected) {
    enum { PART = 7 };
    const SlotMap *map = slot_map(slot, fixture->arena);
    int64_t count = slot_elements(slot);
    float *memory = ARENA_ARRAY(fixture->arena, float, slot->bytes / 4);
    for (int64_t first = (count - 1) / PART * PART; first >= 0; first -= PART) {
        int64_t part = count - first < PART ? count - first : PART;
        float back[PART];
        slot_pack_part(map, stored + first, first, part, memory);
        slot_unpack_part(map, memory, first, part, back);
        assert_memory_equal(back, stored + first, (size_t)part * 4);
    }
    assert_memory_equal(memory, expected, slot->bytes);
}

static void check_round_trip(Fixture *fixture, const ProgramSlot *slot) {
    int64_t count = slot_elements(slot), size = (int64_t)slot->bytes / 4;
    float *stored = ARENA_ARRAY(fixture->arena, float, (size_t)count);
    float *back = ARENA_ARRAY(fixture->arena, float, (size_t)count);
    float *memory = ARENA_ARRAY(fixture->arena, float, (size_t)size),
          *expected = ARENA_ARRAY(fixture->arena, float, (size_t)size);
    for (int64_t i = 0; i < size; i++)
        memory[i] = -7; // stale: padding must become zero
    for (int64_t i = 0; i < count; i++) {
        int64_t index[SLOT_MAX_RANK], rest = i;
        for (int d = slot->rank - 1; d >= 0; rest /= slot->extents[d], d--)
            index[d] = rest % slot->extents[d];
        stored[i] = (float)(i + 1);
        int64_t offset = slot->is_plain ? i : defined_offset(slot, index);
        assert_int_equal(slot_offset(slot, index), offset);
        assert_in_range(offset, 0, size - 1);
        assert_true(expected[offset] == 0); // the layout itself is one to one
        expected[offset] = stored[i];
    }
    slot_pack(slot, stored, memory, fixture->arena);
    assert_memory_equal(memory, expected, (size_t)size * 4);
    slot_unpack(slot, memory, back, fixture->arena);
    assert_memory_equal(back, stored, (size_t)count * 4);
    check_parts(fixture, slot, stored, expected);
}

static void plain_and_scalar(void **state) {
    ProgramSlot plain = {.name = "p", .rank = 3, .extents = {3, 1, 5}, .is_plain = true, .bytes = 64};
    check_round_trip(*state, &plain);
    ProgramSlot scalar = {.name = "s", .rank = 0, .bytes = 64};
    check_round_trip(*state, &scalar);
}

static void column_panels(void **state) { // W[C=5,F=70] @ (F/32, C, F%32), 70 = 2*32 + 6
    ProgramSlot slot = {.name = "w",
                        .rank = 2,
                        .extents = {5, 70},
                        .piece_count = 3,
                        .bytes = 3 * 5 * 32 * 4,
                        .pieces = {{{0, 1}, 32, 3}, {{1, 0}, 1, 5}, {{0, 1}, 1, 32}}};
    check_round_trip(*state, &slot);
}

static void transposed(void **state) { // W[4,6] @ (F, C)
    ProgramSlot slot = {.name = "w",
                        .rank = 2,
                        .extents = {4, 6},
                        .piece_count = 2,
                        .bytes = 128,
                        .pieces = {{{0, 1}, 1, 6}, {{1, 0}, 1, 4}}};
    check_round_trip(*state, &slot);
}

static void merged_dims(void **state) { // Wqkv[C=6,Z=3,H=2,D=5] @ ((Z,H,D)/16, C, (Z,H,D)%16)
    ProgramSlot slot = {.name = "w",
                        .rank = 4,
                        .extents = {6, 3, 2, 5},
                        .piece_count = 3,
                        .bytes = 2 * 6 * 16 * 4,
                        .pieces = {{{0, 10, 5, 1}, 16, 2}, {{1}, 1, 6}, {{0, 10, 5, 1}, 1, 16}}};
    check_round_trip(*state, &slot);
}

static void merged_out_of_order(void **state) { // X[A=3,B=4,C=2] @ ((C,A)/4, B, (C,A)%4): the group skips a dim
    ProgramSlot slot = {.name = "x",
                        .rank = 3,
                        .extents = {3, 4, 2},
                        .piece_count = 3,
                        .bytes = 2 * 4 * 4 * 4,
                        .pieces = {{{1, 0, 3}, 4, 2}, {{0, 1, 0}, 1, 4}, {{1, 0, 3}, 1, 4}}};
    check_round_trip(*state, &slot);
}

static void everything_flat(void **state) { // 3*5 elements in panels of 4
    ProgramSlot slot = {.name = "x",
                        .rank = 2,
                        .extents = {3, 5},
                        .piece_count = 2,
                        .bytes = 64,
                        .pieces = {{{5, 1}, 4, 4}, {{5, 1}, 1, 4}}};
    check_round_trip(*state, &slot);
}

static void sum_of_parts(void **state) { // W[5,6] @ (F/4, C, F%4), three times
    Fixture *fixture = *state;
    ProgramSlot slot = {.name = "g",
                        .rank = 2,
                        .extents = {5, 6},
                        .parts = 3,
                        .piece_count = 3,
                        .bytes = 3 * 2 * 5 * 4 * 4,
                        .pieces = {{{0, 1}, 4, 2}, {{1, 0}, 1, 5}, {{0, 1}, 1, 4}}};
    float memory[120], sums[30], some[3];
    for (int i = 0; i < 120; i++) memory[i] = (float)i;
    slot_unpack(&slot, memory, sums, fixture->arena);
    int64_t offset = slot_offset(&slot, (int64_t[]){2, 5});
    assert_true(sums[2 * 6 + 5] == (float)(offset + (offset + 40) + (offset + 80)));
    slot_unpack_part(slot_map(&slot, fixture->arena), memory, 16, 3, some);
    assert_memory_equal(some, sums + 16, sizeof some);
}

// A copy in bf16, or f16, of W[F,C], which lies as (C, F): each f32 to the nearest, ties to even.
static void narrow_copy(void **state) {
    Fixture *fixture = *state;
    ProgramSlot slot = {.name = "w in bf16 (C, F)",
                        .element = ELEMENT_BF16,
                        .copy_of = "w",
                        .rank = 2,
                        .extents = {3, 2},
                        .piece_count = 2,
                        .bytes = 64,
                        .pieces = {{.weights = {0, 1}, .divisor = 1, .radix = 2},
                                   {.weights = {1, 0}, .divisor = 1, .radix = 3}}};
    // Ties below and above, a little more than one, one that rounds up to infinity, one that stays so, none at all.
    const float stored[] = {0x1.01p0f, 0x1.03p0f, 0x1.010002p0f, -0x1.ffp127f, INFINITY, NAN};
    static const uint16_t expected[] = {0x3f80, 0x3f81, 0x7f80, 0x3f82, 0xff80, 0x7fc0};
    uint16_t memory[32];
    slot_pack(&slot, stored, memory, fixture->arena);
    assert_memory_equal(memory, expected, sizeof expected);
    const float others[] = {0x1.002p0f, 0x1.006p0f, 65519.996f, -65520, 0x1.8p-25f, NAN};
    static const uint16_t halves[] = {0x3c00, 0x7bff, 0x0001, 0x3c02, 0xfc00, 0x7e00};
    slot.element = ELEMENT_F16;
    slot_pack(&slot, others, memory, fixture->arena);
    assert_memory_equal(memory, halves, sizeof halves);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(plain_and_scalar), FIXTURE_TEST(column_panels),       FIXTURE_TEST(transposed),
        FIXTURE_TEST(merged_dims),      FIXTURE_TEST(merged_out_of_order), FIXTURE_TEST(everything_flat),
        FIXTURE_TEST(sum_of_parts),     FIXTURE_TEST(narrow_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
