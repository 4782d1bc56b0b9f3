// A GPU session from its first byte to its last, and its runs: see session.h.
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/size.h"
#include "runtime/cuda/session_parts.h"

// From cuda.h.
enum {
    STREAM_NON_BLOCKING = 1,
    EVENT_WITHOUT_TIMING = 2,
    HOST_MAPPED = 2,
    FUNCTION_MOST_DYNAMIC_SHARED = 8,
    SHARED_WITHOUT_ASKING = 48 << 10,
    ALIGNMENT = 256
};

// ---- sizes

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

// Bytes of a ring entry: its order, and every input of the program, each at a multiple of 16.
static bool entry_bytes(const CudaProgram *program, size_t *bytes) {
    *bytes = CUDA_ORDER_BYTES;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        size_t slot;
        if (program->slots[i].kind != SLOT_INPUT) continue;
        if (!size_align_up(program->slots[i].bytes, 16, &slot) || !size_add(*bytes, slot, bytes)) return false;
    }
    return true;
}

static bool measure(const CudaSessionSettings *settings, size_t blocks[CUDA_BLOCKS], size_t *entry) {
    blocks[MEMORY_STATE] = blocks[MEMORY_ARENA] = ALIGNMENT;
    *entry = CUDA_ORDER_BYTES;
    for (int p = 0; p < settings->program_count; p++) {
        const CudaProgram *program = &settings->programs[p];
        size_t bytes;
        if (!entry_bytes(program, &bytes)) return false;
        *entry = larger(*entry, bytes);
        blocks[MEMORY_STATE] = larger(blocks[MEMORY_STATE], program->state_bytes);
        blocks[MEMORY_ARENA] = larger(blocks[MEMORY_ARENA], program->arena_bytes);
    }
    return size_align_up(blocks[MEMORY_STATE], ALIGNMENT, &blocks[MEMORY_STATE]) &&
           size_align_up(blocks[MEMORY_ARENA], ALIGNMENT, &blocks[MEMORY_ARENA]);
}

bool cuda_session_bytes(const CudaSessionSettings *settings, size_t *bytes) {
    size_t blocks[CUDA_BLOCKS], entry, ring;
    return measure(settings, blocks, &entry) && size_multiply(entry, CUDA_RING_ENTRIES, &ring) &&
           size_add(blocks[MEMORY_STATE], blocks[MEMORY_ARENA], bytes) && size_add(*bytes, ring + ALIGNMENT, bytes);
}

// ---- making

static RuntimeStatus refuse(CudaSession *session, CudaResult result, const char *what, Diags *diags) {
    if (cuda_check(session->settings.driver, result, what, diags)) return RUNTIME_OK;
    return result == CUDA_OUT_OF_MEMORY ? RUNTIME_MEMORY : RUNTIME_IO;
}

static RuntimeStatus take_memory(CudaSession *session, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    size_t needed, free_bytes = 0, all_bytes = 0;
    if (!cuda_session_bytes(&session->settings, &needed)) {
        diag_error(diags, (Place){0}, "the memory of this model overflows the address space");
        return RUNTIME_MEMORY;
    }
    RuntimeStatus status =
        refuse(session, driver->memory_info(&free_bytes, &all_bytes), "say what memory is free", diags);
    if (status != RUNTIME_OK) return status;
    if (needed > free_bytes) {
        diag_error(diags, (Place){0},
                   "this run needs %.1f MB of the GPU's memory and %.1f MB of %.1f MB are free; lower batch_size or "
                   "block_size",
                   1e-6 * (double)needed, 1e-6 * (double)free_bytes, 1e-6 * (double)all_bytes);
        return RUNTIME_MEMORY;
    }
    CudaResult result = CUDA_OK;
    for (int b = 0; b < CUDA_BLOCKS && result == CUDA_OK; b++)
        result = driver->memory_allocate(&session->blocks[b], session->block_bytes[b]);
    if (result == CUDA_OK) result = driver->memory_allocate(&session->ring, CUDA_RING_ENTRIES * session->entry_bytes);
    if (result == CUDA_OK) result = driver->memory_allocate(&session->cursor, ALIGNMENT);
    return refuse(session, result, "give the memory of this run", diags);
}

static RuntimeStatus take_host_memory(CudaSession *session, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    void *staging = NULL, *results = NULL;
    size_t result_bytes = CUDA_RING_ENTRIES * sizeof(CudaResultEntry);
    CudaResult result = driver->host_allocate(&staging, CUDA_RING_ENTRIES * session->entry_bytes, 0);
    session->staging = staging;
    if (result == CUDA_OK) result = driver->host_allocate(&results, result_bytes, HOST_MAPPED);
    session->results = results;
    if (result == CUDA_OK) result = driver->host_address(&session->results_address, results, 0);
    if (result != CUDA_OK) return refuse(session, result, "give pinned memory of the host", diags);
    memset(staging, 0, CUDA_RING_ENTRIES * session->entry_bytes);
    memset(results, 0, result_bytes);
    return RUNTIME_OK;
}

static RuntimeStatus make_streams(CudaSession *session, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    CudaResult result = driver->stream_create(&session->compute, STREAM_NON_BLOCKING);
    if (result == CUDA_OK) result = driver->stream_create(&session->copies, STREAM_NON_BLOCKING);
    for (int i = 0; i < CUDA_RING_ENTRIES && result == CUDA_OK; i++)
        result = driver->event_create(&session->copied[i], EVENT_WITHOUT_TIMING);
    for (int b = 0; b < CUDA_BLOCKS && result == CUDA_OK; b++)
        result = driver->fill_async(session->blocks[b], 0, session->block_bytes[b], session->compute);
    if (result == CUDA_OK) result = driver->fill_async(session->cursor, 0, ALIGNMENT, session->compute);
    return refuse(session, result, "make streams and clear its memory", diags);
}

static CudaResult load_kernel(CudaSession *session, uint32_t number) {
    const CudaDriver *driver = session->settings.driver;
    const CudaKernel *kernel = &session->settings.kernels[number];
    CudaModule module = session->modules[session->settings.images->cubin_of[number]];
    CudaFunction *function = &session->functions[number];
    CudaResult result = driver->module_function(function, module, kernel->name);
    if (result == CUDA_OK && kernel->shared_bytes > SHARED_WITHOUT_ASKING)
        result = driver->function_attribute(*function, FUNCTION_MOST_DYNAMIC_SHARED, (int)kernel->shared_bytes);
    if (result != CUDA_OK || !kernel->is_cooperative) return result;
    int blocks = 0;
    result = driver->function_resident(&blocks, *function, (int)kernel->threads, kernel->shared_bytes);
    session->resident[number] = (uint32_t)blocks * (uint32_t)session->settings.device->multiprocessors;
    return result;
}

// Blocks that wait for each other must be there at once.
static RuntimeStatus check_room(const CudaSession *session, Diags *diags) {
    for (uint32_t k = 0; k < session->settings.kernel_count; k++) {
        const CudaKernel *kernel = &session->settings.kernels[k];
        if (!kernel->is_cooperative || session->resident[k] > 0) continue;
        diag_error(diags, (Place){0},
                   "a persistent kernel has blocks of %u threads and %zu bytes of shared memory, and no multiprocessor "
                   "has room for one; use --persistent=False",
                   kernel->threads, kernel->shared_bytes);
        return RUNTIME_IO;
    }
    return RUNTIME_OK;
}

static RuntimeStatus load_modules(CudaSession *session, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    const CudaImages *images = session->settings.images;
    CudaResult result = driver->module_load(&session->service, images->service);
    for (uint32_t i = 0; i < images->cubin_count && result == CUDA_OK; i++)
        result = driver->module_load(&session->modules[i], images->cubins[i]);
    if (result == CUDA_OK) result = driver->module_function(&session->take, session->service, "sinter_take");
    if (result == CUDA_OK) result = driver->module_function(&session->give, session->service, "sinter_give");
    if (result == CUDA_OK) result = driver->module_function(&session->nothing, session->service, "sinter_nothing");
    for (uint32_t k = 0; k < session->settings.kernel_count && result == CUDA_OK; k++) result = load_kernel(session, k);
    RuntimeStatus status = refuse(session, result, "load the kernels", diags);
    return status == RUNTIME_OK ? check_room(session, diags) : status;
}

static bool has_products(const CudaSession *session) {
    size_t bytes = 0;
    for (int p = 0; p < session->settings.program_count; p++) bytes += session->settings.programs[p].workspace_bytes;
    return bytes > 0;
}

static RuntimeStatus open_library(CudaSession *session, Diags *diags) {
    const CudaLibrary *library = session->settings.library;
    if (!has_products(session)) return RUNTIME_OK;
    CHECK(library);
    LtStatus status = library->create(&session->library);
    if (status == LT_OK) return RUNTIME_OK;
    session->library = NULL;
    diag_error(diags, (Place){0}, "cuBLASLt cannot be used: %s", library->status_text(status));
    return RUNTIME_IO;
}

static void bind_inputs(CudaBound *bound, const CudaProgram *program) {
    size_t offset = CUDA_ORDER_BYTES;
    bound->program = program;
    for (uint32_t i = 0; i < program->slot_count; i++) {
        if (program->slots[i].kind != SLOT_INPUT) continue;
        CHECK(bound->input_count < CUDA_MOST_MOVES && program->slots[i].buffer.memory == MEMORY_ARENA);
        bound->inputs[bound->input_count++] = (CudaInput){&program->slots[i], offset};
        offset += (program->slots[i].bytes + 15) / 16 * 16;
    }
}

// A driver that knows edges by which kernels begin early may still refuse some of them: then they are plain ones.
static bool try_early(CudaSession *session, CudaBound *bound, Diags *diags) {
    if (!session->settings.begins_early) return false;
    const CudaBound *run = bound;
    Arena *arena = arena_create();
    Diags *complaints = diags_create(arena);
    bool done = cuda_graph_build(session, &run, 1, &bound->single, complaints);
    if (!done) {
        Text words = text_create(arena);
        diags_render(complaints, &words);
        diag_warning(diags, (Place){0}, "kernels begin when those before them have ended, not while they end: %s",
                     text_string(&words));
        session->settings.begins_early = false;
        bound->single = NULL;
    }
    arena_free(arena);
    return done;
}

static RuntimeStatus build_graphs(CudaSession *session, Diags *diags) {
    for (int p = 0; p < session->settings.program_count; p++) {
        CudaBound *bound = &session->programs[p];
        const CudaBound *run = bound;
        bind_inputs(bound, &session->settings.programs[p]);
        if (!try_early(session, bound, diags) && !cuda_graph_build(session, &run, 1, &bound->single, diags))
            return RUNTIME_IO;
    }
    return RUNTIME_OK;
}

static RuntimeStatus make_all(CudaSession *session, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    CudaResult result = driver->context_retain(&session->context, session->settings.device->number);
    if (result != CUDA_OK) session->context = NULL;
    if (result == CUDA_OK) result = driver->context_use(session->context);
    RuntimeStatus status = refuse(session, result, "be used", diags);
    if (status == RUNTIME_OK) status = take_memory(session, diags);
    if (status == RUNTIME_OK) status = take_host_memory(session, diags);
    if (status == RUNTIME_OK) status = make_streams(session, diags);
    if (status == RUNTIME_OK) status = load_modules(session, diags);
    if (status == RUNTIME_OK) status = open_library(session, diags);
    return status == RUNTIME_OK ? build_graphs(session, diags) : status;
}

static void release_session(void *session) { cuda_session_free(session); }

RuntimeStatus cuda_session_create(const CudaSessionSettings *settings, CudaSession **result, Diags *diags) {
    CHECK(settings->runs_per_launch >= 1 && settings->runs_per_launch <= CUDA_RING_ENTRIES / 2);
    CudaSession *session = memory_allocate(sizeof *session);
    session->settings = *settings;
    memory_own(&session->owned, release_session, session);
    session->modules = memory_allocate_array((size_t)settings->images->cubin_count + 1, sizeof *session->modules);
    session->functions = memory_allocate_array((size_t)settings->kernel_count + 1, sizeof *session->functions);
    session->resident = memory_allocate_array((size_t)settings->kernel_count + 1, sizeof *session->resident);
    session->programs = memory_allocate_array((size_t)settings->program_count, sizeof *session->programs);
    bool is_sized = measure(settings, session->block_bytes, &session->entry_bytes);
    RuntimeStatus status = make_all(session, diags);
    CHECK(is_sized || status != RUNTIME_OK);
    session->settings.images = NULL;
    if (status == RUNTIME_OK) {
        *result = session;
    } else {
        cuda_session_free(session);
    }
    return status;
}

// ---- giving back. What the driver says no longer matters.

static void free_device(CudaSession *session) {
    const CudaDriver *driver = session->settings.driver;
    if (session->compute) driver->stream_synchronize(session->compute);
    if (session->copies) driver->stream_synchronize(session->copies);
    for (int p = 0; p < session->settings.program_count && session->programs; p++) {
        if (session->programs[p].single) driver->graph_exec_destroy(session->programs[p].single);
        cuda_timing_free(session, &session->programs[p]);
    }
    cuda_sequences_free(session);
    if (session->library) session->settings.library->destroy(session->library);
    for (CudaModule *module = session->modules; module && *module; module++) driver->module_unload(*module);
    if (session->service) driver->module_unload(session->service);
    for (int i = 0; i < CUDA_RING_ENTRIES; i++)
        if (session->copied[i]) driver->event_destroy(session->copied[i]);
    if (session->compute) driver->stream_destroy(session->compute);
    if (session->copies) driver->stream_destroy(session->copies);
    if (session->results) driver->host_free((void *)session->results);
    if (session->staging) driver->host_free(session->staging);
    const CudaAddress device[] = {session->cursor, session->ring, session->blocks[0], session->blocks[1]};
    for (size_t i = 0; i < sizeof device / sizeof *device; i++)
        if (device[i]) driver->memory_free(device[i]);
    driver->context_release(session->settings.device->number);
}

void cuda_session_free(CudaSession *session) {
    if (!session) return;
    memory_disown(&session->owned);
    if (session->context) free_device(session);
    memory_release(session->modules);
    memory_release(session->functions);
    memory_release(session->resident);
    memory_release(session->programs);
    memory_release(session);
}

// ---- running

CudaAddress cuda_address(const CudaSession *session, ProgramBuffer buffer) {
    CHECK((int)buffer.memory < (int)CUDA_BLOCKS && buffer.offset < session->block_bytes[buffer.memory]);
    return session->blocks[buffer.memory] + buffer.offset;
}

CudaBound *cuda_bound(const CudaSession *session, const CudaProgram *program) {
    for (int p = 0; p < session->settings.program_count; p++)
        if (session->programs[p].program == program) return &session->programs[p];
    BUG("program '%s' was not given to cuda_session_create", program->name);
}

static size_t entry_offset(const CudaSession *session, uint64_t run) {
    return (size_t)(run % CUDA_RING_ENTRIES) * session->entry_bytes;
}

void *cuda_session_input(CudaSession *session, const CudaProgram *program, const char *name) {
    CudaBound *bound = cuda_bound(session, program);
    for (uint32_t i = 0; i < bound->input_count; i++)
        if (strcmp(bound->inputs[i].slot->name, name) == 0)
            return session->staging + entry_offset(session, session->submitted) + bound->inputs[i].entry_offset;
    return NULL;
}

uint64_t cuda_session_under_way(const CudaSession *session) { return session->submitted - session->collected; }

bool cuda_copy_entry(CudaSession *session, CudaOrder order, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    size_t offset = entry_offset(session, session->submitted);
    memcpy(session->staging + offset, &order, sizeof order);
    CudaResult result = driver->copy_to_device_async(session->ring + offset, session->staging + offset,
                                                     session->entry_bytes, session->copies);
    if (result == CUDA_OK)
        result = driver->event_record(session->copied[session->submitted % CUDA_RING_ENTRIES], session->copies);
    return cuda_check(driver, result, "copy the inputs of a step", diags);
}

// Whether the device still works on what was launched; a failed launch shows here.
static bool still_runs(CudaSession *session, Diags *diags) {
    CudaResult result = session->settings.driver->stream_query(session->compute);
    return result == CUDA_NOT_READY || cuda_check(session->settings.driver, result, "finish a step", diags);
}

static bool is_given(const CudaSession *session, uint64_t run) {
    // What comes with the number was written before it. (A fence of its own is more than the thread sanitizer can
    // follow.)
    return __atomic_load_n(&session->results[run % CUDA_RING_ENTRIES].run, __ATOMIC_ACQUIRE) == run + 1;
}

// Looks at the result often, at the stream now and then.
static bool wait_for(CudaSession *session, uint64_t run, Diags *diags) {
    enum { LOOKS = 2000, PAUSE_NANOSECONDS = 20000, MOST_IDLE = 1000 };
    for (int idle = 0; !is_given(session, run);) {
        for (int i = 0; i < LOOKS; i++)
            if (is_given(session, run)) return true;
        if (!still_runs(session, diags)) return false;
        // A stream that is done has written the result; what is written may take a moment to be seen.
        bool is_idle = session->settings.driver->stream_query(session->compute) == CUDA_OK;
        idle = is_idle ? idle + 1 : 0;
        if (idle > MOST_IDLE) return diag_error(diags, (Place){0}, "the GPU finished a step and gave no result");
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NANOSECONDS}, NULL);
    }
    return true;
}

bool cuda_session_collect(CudaSession *session, bool wait, bool *is_done, CudaRunResult *result, Diags *diags) {
    CHECK(session->collected < session->submitted);
    uint64_t run = session->collected;
    *is_done = false;
    if (wait && run >= session->launched && !cuda_session_flush(session, diags)) return false;
    if (wait && !wait_for(session, run, diags)) return false;
    if (!is_given(session, run)) return wait || still_runs(session, diags);
    volatile const CudaResultEntry *entry = &session->results[run % CUDA_RING_ENTRIES];
    *result = (CudaRunResult){run, entry->loss, entry->grad_norm, entry->loss_scale};
    session->collected++;
    *is_done = true;
    return true;
}

// ---- copies that wait

static bool drain(CudaSession *session, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    return cuda_session_flush(session, diags) &&
           cuda_check(driver, driver->stream_synchronize(session->compute), "finish its steps", diags);
}

bool cuda_session_write(CudaSession *session, ProgramBuffer to, const void *from, size_t bytes, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    CHECK(bytes <= session->block_bytes[to.memory] - to.offset);
    return drain(session, diags) && cuda_check(driver, driver->copy_to_device(cuda_address(session, to), from, bytes),
                                               "take what was to be written", diags);
}

bool cuda_session_read(CudaSession *session, void *to, ProgramBuffer from, size_t bytes, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    CHECK(bytes <= session->block_bytes[from.memory] - from.offset);
    return drain(session, diags) && cuda_check(driver, driver->copy_to_host(to, cuda_address(session, from), bytes),
                                               "give back what was to be read", diags);
}

bool cuda_session_clear(CudaSession *session, ProgramBuffer at, size_t bytes, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    CHECK(bytes <= session->block_bytes[at.memory] - at.offset);
    return cuda_session_flush(session, diags) &&
           cuda_check(driver, driver->fill_async(cuda_address(session, at), 0, bytes, session->compute),
                      "clear its memory", diags);
}
