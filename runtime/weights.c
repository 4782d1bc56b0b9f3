#include "runtime/weights.h"

#include <string.h>

#include "base/text.h"
#include "runtime/random.h"
#include "runtime/slot.h"

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_moment(const ProgramSlot *slot) {
    return starts_with(slot->name, "adam.");
}

// Stored elements of one slot at a time.
typedef struct {
    Arena *scratch;
    float *values; // [elements of the largest f32 slot]
} Staging;

static Staging staging_create(const Program *program) {
    int64_t largest = 0;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const ProgramSlot *slot = &program->slots[i];
        if (slot->element == ELEMENT_F32 && slot_elements(slot) > largest) largest = slot_elements(slot);
    }
    return (Staging){arena_create(), memory_allocate_array((size_t)largest, sizeof(float))};
}

static void staging_free(Staging *staging) {
    memory_release(staging->values);
    arena_free(staging->scratch);
}

void weights_set(const Session *session, const Program *program, const ProgramSlot *slot, const void *values,
                 Arena *scratch) {
    slot_pack(slot, values, session_data(session, slot), scratch);
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const ProgramSlot *copy = &program->slots[i];
        if (copy->copy_of && strcmp(copy->copy_of, slot->name) == 0)
            slot_pack(copy, values, session_data(session, copy), scratch);
    }
}

// ---- initial values

typedef struct {
    float *values;
    int64_t count;
    uint64_t key;
    double deviation;
} NormalFill;

// Elements 2k and 2k + 1 are the two normals of draw k, so any thread can make any pair.
static void fill_normal(void *context, int thread, int threads) {
    const NormalFill *fill = context;
    int64_t pairs = (fill->count + 1) / 2, last = pairs * (thread + 1) / threads;
    for (int64_t pair = pairs * thread / threads; pair < last; pair++) {
        double first, second;
        random_normals(random_bits(fill->key, (uint64_t)pair), &first, &second);
        fill->values[2 * pair] = (float)(fill->deviation * first);
        if (2 * pair + 1 < fill->count) fill->values[2 * pair + 1] = (float)(fill->deviation * second);
    }
}

static void initialise_slot(Session *session, const Program *program, const ProgramSlot *slot, uint64_t seed,
                            Staging *staging) {
    enum { INIT_IS_NORMAL = 0 };
    if (slot->init != INIT_IS_NORMAL && slot->init_value == 0.0) {
        memset(session_data(session, slot), 0, slot->bytes);
        return;
    }
    if (slot->copy_of) return; // its param fills it
    CHECK(slot->element == ELEMENT_F32);
    int64_t count = slot_elements(slot);
    if (slot->init == INIT_IS_NORMAL) {
        NormalFill fill = {staging->values, count, random_key(seed, slot->name), slot->init_value};
        threads_run(session_threads(session), fill_normal, &fill);
    } else {
        for (int64_t i = 0; i < count; i++)
            staging->values[i] = (float)slot->init_value;
    }
    weights_set(session, program, slot, staging->values, staging->scratch);
    arena_reset(staging->scratch);
}

void weights_initialise(Session *session, const Program *program, uint64_t seed) {
    Staging staging = staging_create(program);
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (program->slots[i].kind == SLOT_STATE) initialise_slot(session, program, &program->slots[i], seed, &staging);
    staging_free(&staging);
}

// ---- from a file

static const char *shape_text(Arena *arena, int rank, const int64_t *extents) {
    Text text = text_create(arena);
    text_append(&text, "[");
    for (int d = 0; d < rank; d++)
        text_append(&text, "%s%lld", d ? "," : "", (long long)extents[d]);
    text_append(&text, "]");
    return text_string(&text);
}

static bool shapes_equal(const ProgramSlot *slot, const TensorEntry *entry) {
    return slot->stored_rank == entry->rank &&
           memcmp(slot->stored_extents, entry->extents, (size_t)entry->rank * sizeof *entry->extents) == 0;
}

static bool check_slot(const ProgramSlot *slot, const TensorFile *file, Arena *scratch, Diags *diags) {
    const TensorEntry *entry = tensor_file_find(file, slot->name);
    if (!entry)
        return !slot->is_param || diag_error(diags, (Place){0}, "%s: has no tensor '%s' %s", tensor_file_path(file),
                                             slot->name, shape_text(scratch, slot->stored_rank, slot->stored_extents));
    return shapes_equal(slot, entry) ||
           diag_error(diags, (Place){0}, "%s: tensor '%s' has shape %s, the model's is %s", tensor_file_path(file),
                      slot->name, shape_text(scratch, entry->rank, entry->extents),
                      shape_text(scratch, slot->stored_rank, slot->stored_extents));
}

static bool is_stored(const ProgramSlot *slot) {
    return slot->kind == SLOT_STATE && (slot->is_param || is_moment(slot));
}

// All that is wrong is said at once, up to a screenful.
static bool check_file(const Program *program, const TensorFile *file, Arena *scratch, Diags *diags) {
    enum { SHOWN = 10 };
    int wrong = 0;
    for (uint32_t i = 0; i < program->slot_count && wrong < SHOWN; i++)
        if (is_stored(&program->slots[i]) && !check_slot(&program->slots[i], file, scratch, diags)) wrong++;
    return wrong == 0;
}

static void note_extra(const Program *program, const TensorFile *file, Diags *diags) {
    const char *first = NULL;
    size_t extra = 0;
    for (size_t i = 0; i < tensor_file_count(file); i++) {
        const char *name = tensor_file_at(file, i)->name;
        const ProgramSlot *slot = program_slot(program, SLOT_STATE, name);
        if ((slot && is_stored(slot)) || starts_with(name, "adam.")) continue;
        if (!first) first = name;
        extra++;
    }
    if (extra)
        diag_note(diags, (Place){0}, "%s: %zu tensor%s not in the model and left out ('%s'%s)", tensor_file_path(file),
                  extra, extra == 1 ? " is" : "s are", first, extra == 1 ? "" : ", ...");
}

RuntimeStatus weights_load(Session *session, const Program *program, TensorFile *file, Diags *diags) {
    Staging staging = staging_create(program);
    RuntimeStatus status = check_file(program, file, staging.scratch, diags) ? RUNTIME_OK : RUNTIME_BAD_FILE;
    for (uint32_t i = 0; i < program->slot_count && status == RUNTIME_OK; i++) {
        const ProgramSlot *slot = &program->slots[i];
        const TensorEntry *entry = is_stored(slot) ? tensor_file_find(file, slot->name) : NULL;
        if (!entry) continue;
        status = tensor_file_read(file, entry, staging.values, diags);
        if (status == RUNTIME_OK) weights_set(session, program, slot, staging.values, staging.scratch);
        arena_reset(staging.scratch);
    }
    if (status == RUNTIME_OK) note_extra(program, file, diags);
    staging_free(&staging);
    return status;
}

// ---- to a file

// Which slots go into the file, and how long a prefix of their names does not.
typedef struct {
    const ProgramSlot **slots;
    size_t count, prefix;
} Selection;

static RuntimeStatus write_slots(const Session *session, const Program *program, const Selection *selection,
                                 TensorWriter *writer, Diags *diags) {
    Staging staging = staging_create(program);
    RuntimeStatus status = tensor_writer_begin(writer, diags);
    for (size_t i = 0; i < selection->count && status == RUNTIME_OK; i++) {
        const ProgramSlot *slot = selection->slots[i];
        slot_unpack(slot, session_data(session, slot), staging.values, staging.scratch);
        arena_reset(staging.scratch);
        status = tensor_writer_data(writer, staging.values, (size_t)slot_elements(slot), diags);
    }
    if (status == RUNTIME_OK) status = tensor_writer_commit(writer, diags);
    if (status != RUNTIME_OK) tensor_writer_abandon(writer);
    staging_free(&staging);
    return status;
}

static RuntimeStatus save_slots(const Session *session, const Program *program, const char *path,
                                const Selection *selection, const TensorMetadata *metadata, size_t metadata_count,
                                Diags *diags) {
    Arena *arena = arena_create();
    TensorWriter *writer = tensor_writer_create(arena, path);
    tensor_writer_metadata(writer, "format", "sinter");
    for (size_t i = 0; i < metadata_count; i++)
        tensor_writer_metadata(writer, metadata[i].key, metadata[i].value);
    CHECK(selection->count > 0);
    for (size_t i = 0; i < selection->count; i++) {
        const ProgramSlot *slot = selection->slots[i];
        CHECK(slot->element == ELEMENT_F32);
        tensor_writer_add(writer, slot->name + selection->prefix, slot->stored_rank, slot->stored_extents);
    }
    RuntimeStatus status = write_slots(session, program, selection, writer, diags);
    arena_free(arena);
    return status;
}

RuntimeStatus weights_save(const Session *session, const Program *program, const char *path,
                           const TensorMetadata *metadata, size_t metadata_count, Diags *diags) {
    Arena *arena = arena_create();
    Selection selection = {.slots = ARENA_ARRAY(arena, const ProgramSlot *, program->slot_count + 1)};
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (is_stored(&program->slots[i])) selection.slots[selection.count++] = &program->slots[i];
    RuntimeStatus status = save_slots(session, program, path, &selection, metadata, metadata_count, diags);
    arena_free(arena);
    return status;
}

// In the order of the params, which is that of the spec; outputs come in the order in which they are computed.
RuntimeStatus weights_save_gradients(const Session *session, const Program *program, const char *path, Diags *diags) {
    Arena *arena = arena_create();
    Selection selection = {.slots = ARENA_ARRAY(arena, const ProgramSlot *, program->slot_count + 1),
                           .prefix = strlen("grad.")};
    for (uint32_t i = 0; i < program->slot_count; i++) {
        if (!program->slots[i].is_param) continue;
        const char *name = arena_format(arena, "grad.%s", program->slots[i].name);
        const ProgramSlot *gradient = program_slot(program, SLOT_OUTPUT, name);
        if (gradient) selection.slots[selection.count++] = gradient;
    }
    RuntimeStatus status = save_slots(session, program, path, &selection, NULL, 0, diags);
    arena_free(arena);
    return status;
}
