#include "runtime/weights.h"

#include <string.h>

#include "base/text.h"
#include "runtime/normals.h"
#include "runtime/random.h"
#include "runtime/slot.h"

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

// What the optimizer keeps of its own: moments, and the scale of a loss.
static bool is_optimizer_name(const char *name) {
    return starts_with(name, "adam.") || starts_with(name, "scaler.");
}

enum { INIT_IS_NORMAL = 0 };

// ---- a slot and the slots that copy it

typedef struct {
    const ProgramSlot *slot;
    const SlotMap *map;
    void *memory; // that the session maps
} Target;

typedef struct {
    const Session *session;
    const ProgramSlot *slot;
    Target *targets;
    uint32_t count;
    bool is_whole; // false: one of them cannot be mapped
} Places;

static bool is_place_of(const ProgramSlot *other, const ProgramSlot *slot) {
    return other == slot || (other->copy_of && strcmp(other->copy_of, slot->name) == 0);
}

static bool has_padding(const ProgramSlot *slot) {
    size_t element = slot_is_half(slot) ? sizeof(uint16_t) : sizeof(float);
    return slot->bytes > (size_t)slot_elements(slot) * element;
}

// To be written as a whole; their padding becomes zero. Ended by places_close.
static Places places_open(const Session *session, const Program *program, const ProgramSlot *slot, Arena *scratch,
                          Diags *diags) {
    Places places = {session, slot, ARENA_ARRAY(scratch, Target, program->slot_count), 0, true};
    for (uint32_t i = 0; i < program->slot_count && places.is_whole; i++) {
        const ProgramSlot *other = &program->slots[i];
        if (!is_place_of(other, slot)) continue;
        bool is_clear = !has_padding(other) || session_clear(session, other, diags);
        Target target = {other, slot_map(other, scratch),
                         is_clear ? session_map(session, other, MAP_WRITE, diags) : NULL};
        places.is_whole = target.memory != NULL;
        if (places.is_whole) places.targets[places.count++] = target;
    }
    return places;
}

static RuntimeStatus places_close(Places *places, Diags *diags) {
    bool done = places->is_whole;
    for (uint32_t t = 0; t < places->count; t++) {
        Target *target = &places->targets[t];
        done = session_unmap(places->session, target->slot, target->memory, MAP_WRITE, diags) && done;
    }
    return done ? RUNTIME_OK : RUNTIME_IO;
}

// Stored elements from number `first` on.
static void put_part(void *context, const float *values, int64_t first, int64_t count) {
    const Places *places = context;
    for (uint32_t t = 0; t < places->count; t++)
        slot_pack_part(places->targets[t].map, values, first, count, places->targets[t].memory);
}

RuntimeStatus weights_set(const Session *session, const Program *program, const ProgramSlot *slot, const void *values,
                          Arena *scratch, Diags *diags) {
    Places places = places_open(session, program, slot, scratch, diags);
    if (places.is_whole) put_part(&places, values, 0, slot_elements(slot));
    return places_close(&places, diags);
}

RuntimeStatus weights_get(const Session *session, const ProgramSlot *slot, void *values, Arena *scratch, Diags *diags) {
    void *memory = session_map(session, slot, MAP_READ, diags);
    if (!memory) return RUNTIME_IO;
    slot_unpack(slot, memory, values, scratch);
    return session_unmap(session, slot, memory, MAP_READ, diags) ? RUNTIME_OK : RUNTIME_IO;
}

// ---- initial values

enum { CHUNK = 1 << 13 }; // elements at a time; even, since normals come in pairs

typedef struct {
    Places places;
    uint64_t key;
} Fill;

static void fill_chunk(Fill *fill, int64_t first, int64_t count) {
    const ProgramSlot *slot = fill->places.slot;
    float values[CHUNK];
    if (slot->init == INIT_IS_NORMAL) {
        normals_fill(fill->key, slot->init_value, first, count, values);
    } else {
        for (int64_t i = 0; i < count; i++)
            values[i] = (float)slot->init_value;
    }
    put_part(&fill->places, values, first, count);
}

static void fill_chunks(void *context, int thread, int threads) {
    Fill *fill = context;
    int64_t elements = slot_elements(fill->places.slot), chunks = (elements + CHUNK - 1) / CHUNK;
    for (int64_t chunk = chunks * thread / threads; chunk < chunks * (thread + 1) / threads; chunk++) {
        int64_t rest = elements - chunk * CHUNK;
        fill_chunk(fill, chunk * CHUNK, rest < CHUNK ? rest : CHUNK);
    }
}

static RuntimeStatus initialise_slot(Session *session, const Program *program, const ProgramSlot *slot, uint64_t seed,
                                     Arena *scratch, Diags *diags) {
    bool is_zero = slot->init != INIT_IS_NORMAL && slot->init_value == 0.0;
    if (is_zero) return session_clear(session, slot, diags) ? RUNTIME_OK : RUNTIME_IO;
    if (slot->copy_of) return RUNTIME_OK; // its param fills a copy
    CHECK(slot->element == ELEMENT_F32);
    Fill fill = {places_open(session, program, slot, scratch, diags), random_key(seed, slot->name)};
    if (fill.places.is_whole) threads_run(session_threads(session), fill_chunks, &fill);
    RuntimeStatus status = places_close(&fill.places, diags);
    arena_reset(scratch);
    return status;
}

// Copies go first: one that is zero at first is filled with its param.
RuntimeStatus weights_initialise(Session *session, const Program *program, uint64_t seed, Diags *diags) {
    Arena *scratch = arena_create();
    RuntimeStatus status = RUNTIME_OK;
    for (int copies = 1; copies >= 0; copies--)
        for (uint32_t i = 0; i < program->slot_count && status == RUNTIME_OK; i++) {
            const ProgramSlot *slot = &program->slots[i];
            if (slot->kind == SLOT_STATE && (slot->copy_of != NULL) == copies)
                status = initialise_slot(session, program, slot, seed, scratch, diags);
        }
    arena_free(scratch);
    return status;
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
    return slot->kind == SLOT_STATE && (slot->is_param || is_optimizer_name(slot->name));
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
        if ((slot && is_stored(slot)) || is_optimizer_name(name)) continue;
        if (!first) first = name;
        extra++;
    }
    if (extra)
        diag_note(diags, (Place){0}, "%s: %zu tensor%s not in the model and left out ('%s'%s)", tensor_file_path(file),
                  extra, extra == 1 ? " is" : "s are", first, extra == 1 ? "" : ", ...");
}

// In parts, as they are written.
static RuntimeStatus load(Session *session, const Program *program, TensorFile *file, bool with_moments, Diags *diags) {
    Arena *scratch = arena_create();
    RuntimeStatus status = check_file(program, file, scratch, diags) ? RUNTIME_OK : RUNTIME_BAD_FILE;
    for (uint32_t i = 0; i < program->slot_count && status == RUNTIME_OK; i++) {
        const ProgramSlot *slot = &program->slots[i];
        bool is_wanted = is_stored(slot) && (slot->is_param || with_moments);
        const TensorEntry *entry = is_wanted ? tensor_file_find(file, slot->name) : NULL;
        if (!entry) continue;
        Places places = places_open(session, program, slot, scratch, diags);
        if (places.is_whole) status = tensor_file_stream(file, entry, put_part, &places, diags);
        RuntimeStatus closed = places_close(&places, diags);
        if (status == RUNTIME_OK) status = closed;
        arena_reset(scratch);
    }
    if (status == RUNTIME_OK) note_extra(program, file, diags);
    arena_free(scratch);
    return status;
}

RuntimeStatus weights_load(Session *session, const Program *program, TensorFile *file, Diags *diags) {
    return load(session, program, file, true, diags);
}

RuntimeStatus weights_load_parameters(Session *session, const Program *program, TensorFile *file, Diags *diags) {
    return load(session, program, file, false, diags);
}

// Gradients of micro-batches that belong to no update.
RuntimeStatus weights_forget_accumulated(Session *session, const Program *program, Diags *diags) {
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const ProgramSlot *slot = &program->slots[i];
        if (slot->kind != SLOT_STATE || !starts_with(slot->name, "accumulate.")) continue;
        if (!session_clear(session, slot, diags)) return RUNTIME_IO;
    }
    return RUNTIME_OK;
}

// ---- to a file

// Which slots go into the file, and how long a prefix of their names does not.
typedef struct {
    const ProgramSlot **slots;
    size_t count, prefix;
    bool is_finite;        // no value may be infinite or NaN
    float divisor;         // of all values
} Selection;

static bool all_finite(const float *values, size_t count) {
    enum { EXPONENT = 0x7f800000 };
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        found |= (bits & EXPONENT) == EXPONENT;
    }
    return !found;
}

static RuntimeStatus refuse_nonfinite(const ProgramSlot *slot, Diags *diags) {
    diag_error(diags, (Place){0}, "'%s' holds values that are not finite; such a checkpoint is not written",
               slot->name);
    return RUNTIME_NONFINITE;
}

// In parts: a table of embeddings is large, and memory was planned without a second one.
static RuntimeStatus write_slot(const Session *session, const ProgramSlot *slot, const Selection *selection,
                                TensorWriter *writer, Arena *scratch, Diags *diags) {
    enum { PART = 1 << 18 }; // 1 MiB
    const SlotMap *map = slot_map(slot, scratch);
    float *values = ARENA_ARRAY(scratch, float, PART);
    RuntimeStatus status = RUNTIME_OK;
    int64_t elements = slot_elements(slot);
    void *memory = session_map(session, slot, MAP_READ, diags);
    if (!memory) return RUNTIME_IO;
    for (int64_t first = 0; first < elements && status == RUNTIME_OK; first += PART) {
        int64_t count = elements - first < PART ? elements - first : PART;
        slot_unpack_part(map, memory, first, count, values);
        for (int64_t i = 0; selection->divisor != 1 && i < count; i++) values[i] /= selection->divisor;
        bool is_refused = selection->is_finite && !all_finite(values, (size_t)count);
        status = is_refused ? refuse_nonfinite(slot, diags) : tensor_writer_data(writer, values, (size_t)count, diags);
    }
    bool done = session_unmap(session, slot, memory, MAP_READ, diags);
    return status == RUNTIME_OK && !done ? RUNTIME_IO : status;
}

static RuntimeStatus write_slots(const Session *session, const Selection *selection, TensorWriter *writer,
                                 Diags *diags) {
    Arena *scratch = arena_create();
    RuntimeStatus status = tensor_writer_begin(writer, diags);
    for (size_t i = 0; i < selection->count && status == RUNTIME_OK; i++) {
        status = write_slot(session, selection->slots[i], selection, writer, scratch, diags);
        arena_reset(scratch);
    }
    if (status == RUNTIME_OK) status = tensor_writer_commit(writer, diags);
    if (status != RUNTIME_OK) tensor_writer_abandon(writer);
    arena_free(scratch);
    return status;
}

static RuntimeStatus save_slots(const Session *session, const char *path, const Selection *selection,
                                const TensorMetadata *metadata, size_t metadata_count, Diags *diags) {
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
    RuntimeStatus status = write_slots(session, selection, writer, diags);
    arena_free(arena);
    return status;
}

size_t weights_file_bytes(const Program *program) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (is_stored(&program->slots[i])) bytes += (size_t)slot_elements(&program->slots[i]) * sizeof(float);
    return bytes;
}

RuntimeStatus weights_save(const Session *session, const Program *program, const char *path,
                           const TensorMetadata *metadata, size_t metadata_count, Diags *diags) {
    Arena *arena = arena_create();
    Selection selection = {.slots = ARENA_ARRAY(arena, const ProgramSlot *, program->slot_count + 1),
                           .is_finite = true,
                           .divisor = 1};
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (is_stored(&program->slots[i])) selection.slots[selection.count++] = &program->slots[i];
    RuntimeStatus status = save_slots(session, path, &selection, metadata, metadata_count, diags);
    arena_free(arena);
    return status;
}

// In the order of the params, which is that of the spec; outputs come in the order in which they are computed.
RuntimeStatus weights_save_gradients(const Session *session, const Program *program, const char *path, Diags *diags) {
    Arena *arena = arena_create();
    Selection selection = {.slots = ARENA_ARRAY(arena, const ProgramSlot *, program->slot_count + 1),
                           .prefix = strlen("grad."),
                           .divisor = 1};
    const ProgramSlot *scale = program_slot(program, SLOT_OUTPUT, "loss_scale");
    if (scale && weights_get(session, scale, &selection.divisor, arena, diags) != RUNTIME_OK) {
        arena_free(arena);
        return RUNTIME_IO;
    }
    for (uint32_t i = 0; i < program->slot_count; i++) {
        if (!program->slots[i].is_param) continue;
        const char *name = arena_format(arena, "grad.%s", program->slots[i].name);
        const ProgramSlot *gradient = program_slot(program, SLOT_OUTPUT, name);
        if (gradient) selection.slots[selection.count++] = gradient;
    }
    RuntimeStatus status = save_slots(session, path, &selection, NULL, 0, diags);
    arena_free(arena);
    return status;
}
