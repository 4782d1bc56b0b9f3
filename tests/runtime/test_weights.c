// States to files and back, through panel layouts and with other numbers of threads; initial values; shape errors.
#include "support.h"

#include <math.h>

#include "base/file.h"
#include "runtime/slot.h"
#include "runtime/weights.h"

enum { W = 0, M = 4096, V = 8192, B = 12288, COPY = 14336, STATES = 18432 };
#define PANELS .piece_count = 3, .pieces = {{{0, 1}, 32, 2}, {{1, 0}, 1, 5}, {{0, 1}, 1, 32}}
#define W_SHAPE .rank = 2, .extents = {5, 40}, .stored_rank = 2, .stored_extents = {5, 40}, .bytes = 1280

static const ProgramSlot panel_slots[] = {
    {.name = "w",
     .kind = SLOT_STATE,
     .is_param = true,
     W_SHAPE,
     PANELS,
     .buffer = {MEMORY_STATE, W},
     .init_value = 0.5},
    {.name = "adam.m.w", .kind = SLOT_STATE, W_SHAPE, PANELS, .buffer = {MEMORY_STATE, M}, .init = 1},
    {.name = "adam.v.w", .kind = SLOT_STATE, W_SHAPE, PANELS, .buffer = {MEMORY_STATE, V}, .init = 1},
    // bqkv[(Z,H,D)]: three dims inside, one axis in files
    {.name = "b",
     .kind = SLOT_STATE,
     .is_param = true,
     .rank = 3,
     .extents = {3, 2, 4},
     .stored_rank = 1,
     .stored_extents = {24},
     .is_plain = true,
     .buffer = {MEMORY_STATE, B},
     .bytes = 128,
     .init = 1,
     .init_value = 2},
    {.name = "scratch",
     .kind = SLOT_STATE,
     .rank = 1,
     .extents = {4},
     .stored_rank = 1,
     .stored_extents = {4},
     .is_plain = true,
     .buffer = {MEMORY_STATE, B + 256},
     .bytes = 64,
     .init = 1},
    {.name = "grad.w", .kind = SLOT_OUTPUT, W_SHAPE, PANELS, .buffer = {MEMORY_ARENA, 0}},
    // in panels of its rows, for a product that has these as its lanes
    {.name = "w in (C/16, F, C%16)",
     .kind = SLOT_STATE,
     .copy_of = "w",
     .rank = 2,
     .extents = {5, 40},
     .stored_rank = 2,
     .stored_extents = {5, 40},
     .piece_count = 3,
     .pieces = {{{1, 0}, 16, 1}, {{0, 1}, 1, 40}, {{1, 0}, 1, 16}},
     .buffer = {MEMORY_STATE, COPY},
     .bytes = 2560},
};
static const Program panels = {.name = "step", .steps = NULL, .step_count = 0, .slots = panel_slots, .slot_count = 7,
                                .state_bytes = STATES, .arena_bytes = 4096};

// The same tensors in plain order.
static const ProgramSlot plain_slots[] = {
    {.name = "w",
     .kind = SLOT_STATE,
     .is_param = true,
     W_SHAPE,
     .is_plain = true,
     .buffer = {MEMORY_STATE, W},
     .init_value = 0.5},
    {.name = "adam.m.w", .kind = SLOT_STATE, W_SHAPE, .is_plain = true, .buffer = {MEMORY_STATE, M}, .init = 1},
};
static const Program plain = {.name = "step", .steps = NULL, .step_count = 0, .slots = plain_slots, .slot_count = 2,
                                .state_bytes = STATES, .arena_bytes = 4096};

typedef struct {
    ThreadPool *pool;
    Session *session;
} Opened;

static Opened open_session(Fixture *fixture, const Program *program, int threads) {
    Opened opened = {threads_create(threads, false, fixture->diags), NULL};
    assert_int_equal(session_create(&program, 1, opened.pool, &opened.session, fixture->diags), RUNTIME_OK);
    return opened;
}

static void close_session(Opened opened) {
    session_free(opened.session);
    threads_free(opened.pool);
}

static const float *unpacked(Fixture *fixture, Opened opened, const Program *program, const char *name) {
    const ProgramSlot *slot = program_slot(program, SLOT_STATE, name);
    float *values = ARENA_ARRAY(fixture->arena, float, (size_t)slot_elements(slot));
    slot_unpack(slot, session_data(opened.session, slot), values, fixture->arena);
    return values;
}

static void initial_values_ignore_layout_and_threads(void **state) {
    Fixture *fixture = *state;
    Opened one = open_session(fixture, &panels, 1), three = open_session(fixture, &plain, 3);
    weights_initialise(one.session, &panels, 1337, fixture->diags);
    weights_initialise(three.session, &plain, 1337, fixture->diags);
    const float *w = unpacked(fixture, one, &panels, "w");
    assert_memory_equal(w, unpacked(fixture, three, &plain, "w"), 200 * sizeof *w);
    double sum = 0, squares = 0;
    for (int i = 0; i < 200; i++) {
        sum += w[i];
        squares += w[i] * w[i];
    }
    assert_true(fabs(sum / 200) < 0.15 && fabs(sqrt(squares / 200) - 0.5) < 0.1);
    for (int i = 0; i < 24; i++)
        assert_true(unpacked(fixture, one, &panels, "b")[i] == 2);
    weights_initialise(three.session, &plain, 1338, fixture->diags);
    assert_memory_not_equal(w, unpacked(fixture, three, &plain, "w"), 200 * sizeof *w);
    close_session(one);
    close_session(three);
}

static void initialised_again(void **state) {
    Fixture *fixture = *state;
    Opened fresh = open_session(fixture, &panels, 1), used = open_session(fixture, &panels, 2);
    weights_initialise(fresh.session, &panels, 9, fixture->diags);
    for (uint32_t i = 0; i < panels.slot_count; i++)
        if (panels.slots[i].kind == SLOT_STATE)
            memset(session_data(used.session, &panels.slots[i]), 0x7f, panels.slots[i].bytes);
    weights_initialise(used.session, &panels, 9, fixture->diags);
    for (uint32_t i = 0; i < panels.slot_count; i++) {
        const ProgramSlot *slot = &panels.slots[i];
        if (slot->kind != SLOT_STATE) continue;
        assert_memory_equal(session_data(used.session, slot), session_data(fresh.session, slot), slot->bytes);
    }
    close_session(fresh);
    close_session(used);
}

static void copies_follow_their_param(void **state) {
    Fixture *fixture = *state;
    Opened opened = open_session(fixture, &panels, 2);
    weights_initialise(opened.session, &panels, 5, fixture->diags);
    const float *w = unpacked(fixture, opened, &panels, "w");
    assert_memory_equal(w, unpacked(fixture, opened, &panels, panel_slots[6].name), 200 * sizeof *w);
    const float *memory = session_data(opened.session, &panel_slots[6]);
    assert_true(memory[16 + 2] == w[2 * 40 + 1]); // c=2, f=1
    assert_true(memory[16 + 5] == 0);             // padding
    float ones[200];
    for (int i = 0; i < 200; i++)
        ones[i] = 1;
    weights_set(opened.session, &panels, &panel_slots[0], ones, fixture->arena, fixture->diags);
    assert_memory_equal(ones, unpacked(fixture, opened, &panels, "w"), sizeof ones);
    assert_memory_equal(ones, unpacked(fixture, opened, &panels, panel_slots[6].name), sizeof ones);
    close_session(opened);
}

static void save_and_load(void **state) {
    Fixture *fixture = *state;
    Opened opened = open_session(fixture, &panels, 2);
    weights_initialise(opened.session, &panels, 1, fixture->diags);
    float moments[200];
    for (int i = 0; i < 200; i++)
        moments[i] = (float)i;
    slot_pack(&panel_slots[1], moments, session_data(opened.session, &panel_slots[1]), fixture->arena);
    const char *path = fixture_path(fixture, "c.safetensors");
    TensorMetadata metadata = {"iter", "7"};
    assert_int_equal(weights_save(opened.session, &panels, path, &metadata, 1, fixture->diags), RUNTIME_OK);
    TensorFile *file;
    assert_int_equal(tensor_file_open(fixture->arena, path, &file, fixture->diags), RUNTIME_OK);
    assert_int_equal(tensor_file_count(file), 4); // no scratch
    assert_int_equal(tensor_file_find(file, "b")->rank, 1);
    assert_string_equal(tensor_file_metadata(file, "iter"), "7");
    Opened other = open_session(fixture, &panels, 1);
    assert_int_equal(weights_load(other.session, &panels, file, fixture->diags), RUNTIME_OK);
    assert_quiet(fixture);
    assert_memory_equal(session_data(other.session, &panel_slots[0]), session_data(opened.session, &panel_slots[0]),
                        STATES);
    assert_memory_equal(unpacked(fixture, other, &panels, "adam.m.w"), moments, sizeof moments);
    Opened third = open_session(fixture, &plain, 1); // another layout, fewer tensors
    assert_int_equal(weights_load(third.session, &plain, file, fixture->diags), RUNTIME_OK);
    assert_says(fixture, "1 tensor is not in the model and left out ('b')");
    assert_memory_equal(unpacked(fixture, third, &plain, "w"), unpacked(fixture, opened, &panels, "w"), 800);
    tensor_file_close(file);
    close_session(opened);
    close_session(other);
    close_session(third);
}

static TensorFile *write_and_open(Fixture *fixture, int64_t rows, int64_t columns, bool with_b) {
    const char *path = fixture_path(fixture, "x.safetensors");
    TensorWriter *writer = tensor_writer_create(fixture->arena, path);
    float values[512] = {0};
    tensor_writer_add(writer, "w", 2, (int64_t[]){rows, columns});
    if (with_b) tensor_writer_add(writer, "b", 1, (int64_t[]){24});
    assert_int_equal(tensor_writer_begin(writer, fixture->diags), RUNTIME_OK);
    tensor_writer_data(writer, values, (size_t)(rows * columns + (with_b ? 24 : 0)), fixture->diags);
    assert_int_equal(tensor_writer_commit(writer, fixture->diags), RUNTIME_OK);
    TensorFile *file;
    assert_int_equal(tensor_file_open(fixture->arena, path, &file, fixture->diags), RUNTIME_OK);
    return file;
}

static void wrong_files_are_refused(void **state) {
    Fixture *fixture = *state;
    Opened opened = open_session(fixture, &panels, 1);
    TensorFile *file = write_and_open(fixture, 40, 5, true); // transposed
    assert_int_equal(weights_load(opened.session, &panels, file, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "tensor 'w' has shape [40,5], the model's is [5,40]");
    tensor_file_close(file);
    file = write_and_open(fixture, 5, 40, false);
    assert_int_equal(weights_load(opened.session, &panels, file, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "has no tensor 'b' [24]");
    tensor_file_close(file);
    file = write_and_open(fixture, 5, 40, true); // without moments: they stay as they are
    ((float *)session_data(opened.session, &panel_slots[1]))[0] = 9;
    assert_int_equal(weights_load(opened.session, &panels, file, fixture->diags), RUNTIME_OK);
    assert_quiet(fixture);
    assert_true(((float *)session_data(opened.session, &panel_slots[1]))[0] == 9);
    tensor_file_close(file);
    close_session(opened);
}

static void gradients_under_their_names(void **state) {
    Fixture *fixture = *state;
    Opened opened = open_session(fixture, &panels, 1);
    float gradient[200], read[200];
    for (int i = 0; i < 200; i++)
        gradient[i] = (float)(i * i);
    slot_pack(&panel_slots[5], gradient, session_data(opened.session, &panel_slots[5]), fixture->arena);
    const char *path = fixture_path(fixture, "g.safetensors");
    assert_int_equal(weights_save_gradients(opened.session, &panels, path, fixture->diags), RUNTIME_OK);
    TensorFile *file;
    assert_int_equal(tensor_file_open(fixture->arena, path, &file, fixture->diags), RUNTIME_OK);
    assert_int_equal(tensor_file_count(file), 1);
    assert_int_equal(tensor_file_read(file, tensor_file_find(file, "w"), read, fixture->diags), RUNTIME_OK);
    assert_memory_equal(read, gradient, sizeof read);
    tensor_file_close(file);
    close_session(opened);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(initial_values_ignore_layout_and_threads),
        FIXTURE_TEST(initialised_again),
        FIXTURE_TEST(copies_follow_their_param),
        FIXTURE_TEST(save_and_load),
        FIXTURE_TEST(wrong_files_are_refused),
        FIXTURE_TEST(gradients_under_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
