// A GPU behind runtime/session.h: the interface of session_device.h in terms of a CudaSession.
//
// What the host writes as a program's inputs lies in memory of its own, which a submit copies into the ring: so its
// addresses never change, and whoever fills inputs knows nothing of rings.
#include <string.h>

#include "runtime/cuda/session.h"
#include "runtime/session_device.h"

typedef struct {
    const Program *program;
    const CudaProgram *launches;
    char **inputs;  // by slot; NULL for what is no input
} DeviceProgram;

typedef struct {
    CudaSession *session;
    DeviceProgram *programs;
    int count;
} Device;

static const DeviceProgram *find_program(const Device *device, const Program *program) {
    for (int p = 0; p < device->count; p++)
        if (device->programs[p].program == program) return &device->programs[p];
    BUG("program '%s' is not one of this session's", program->name);
}

// Into the ring's next entry.
static const CudaProgram *give_inputs(const Device *device, const Program *program) {
    const DeviceProgram *mine = find_program(device, program);
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (mine->inputs[i])
            memcpy(cuda_session_input(device->session, mine->launches, program->slots[i].name), mine->inputs[i],
                   program->slots[i].bytes);
    return mine->launches;
}

static bool submit(void *context, const Program *program, RunOrder order, Diags *diags) {
    const Device *device = context;
    CudaOrder told = {.place = order.place, .forgiven = order.forgiven, .goes_on = order.goes_on};
    return cuda_session_submit(device->session, give_inputs(device, program), told, diags);
}

static bool time_run(void *context, const Program *program, double *times, Diags *diags) {
    const Device *device = context;
    CudaOrder told = {.place = RUN_ALONE, .forgiven = UINT32_MAX};
    return cuda_session_time(device->session, give_inputs(device, program), told, times, diags);
}

static bool collect(void *context, bool wait, bool *is_done, RunResult *result, Diags *diags) {
    const Device *device = context;
    CudaRunResult run;
    if (!cuda_session_collect(device->session, wait, is_done, &run, diags)) return false;
    if (*is_done) *result = (RunResult){run.loss, run.grad_norm, run.loss_scale};
    return true;
}

static void *input(void *context, const ProgramSlot *slot) {
    const Device *device = context;
    for (int p = 0; p < device->count; p++) {
        const Program *program = device->programs[p].program;
        if (slot >= program->slots && slot < program->slots + program->slot_count)
            return device->programs[p].inputs[slot - program->slots];
    }
    BUG("'%s' is no slot of this session's programs", slot->name);
}

static bool read_slot(void *context, void *to, const ProgramSlot *slot, Diags *diags) {
    return cuda_session_read(((Device *)context)->session, to, slot->buffer, slot->bytes, diags);
}

static bool write_slot(void *context, const ProgramSlot *slot, const void *from, Diags *diags) {
    return cuda_session_write(((Device *)context)->session, slot->buffer, from, slot->bytes, diags);
}

static bool clear_slot(void *context, const ProgramSlot *slot, Diags *diags) {
    return cuda_session_clear(((Device *)context)->session, slot->buffer, slot->bytes, diags);
}

static void free_device(void *context) {
    Device *device = context;
    cuda_session_free(device->session);
    for (int p = 0; p < device->count; p++) {
        for (uint32_t i = 0; i < device->programs[p].program->slot_count; i++)
            memory_release(device->programs[p].inputs[i]);
        memory_release(device->programs[p].inputs);
    }
    memory_release(device->programs);
    memory_release(device);
}

static const SessionDevice functions = {.ahead = CUDA_RING_ENTRIES - 1,
                                        .submit = submit,
                                        .collect = collect,
                                        .time = time_run,
                                        .input = input,
                                        .read = read_slot,
                                        .write = write_slot,
                                        .clear = clear_slot,
                                        .free = free_device};

static void bind(DeviceProgram *bound, const Program *program, const CudaProgram *launches) {
    bound->program = program;
    bound->launches = launches;
    bound->inputs = memory_allocate_array((size_t)program->slot_count + 1, sizeof *bound->inputs);
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (program->slots[i].kind == SLOT_INPUT) bound->inputs[i] = memory_allocate(program->slots[i].bytes);
}

RuntimeStatus cuda_session_begin(const CudaSessionSettings *settings, const Program *const *programs,
                                 ThreadPool *threads, Session **session, Diags *diags) {
    CudaSession *own;
    RuntimeStatus status = cuda_session_create(settings, &own, diags);
    if (status != RUNTIME_OK) return status;
    Device *device = memory_allocate(sizeof *device);
    *device = (Device){.session = own, .count = settings->program_count};
    device->programs = memory_allocate_array((size_t)settings->program_count, sizeof *device->programs);
    for (int p = 0; p < settings->program_count; p++) bind(&device->programs[p], programs[p], &settings->programs[p]);
    *session = session_create_on(&functions, device, threads);
    return RUNTIME_OK;
}

CudaSession *cuda_session_of(const Session *session) {
    const Device *device = session_device(session, &functions);
    return device ? device->session : NULL;
}
