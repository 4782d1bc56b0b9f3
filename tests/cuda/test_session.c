// A GPU session against a driver of our own making: numbers arrive and come back in order, whatever the order of nodes,
// however many steps a launch holds; nothing waits that should not; every failure is a diagnostic, and gives all back.
//
// The model: "step" adds learning_rate * sum(tok) to a state w; its loss is w, its gradient norm what was added. "eval"
// has the loss alone. The kernels around them are the real text of codegen/cuda/service.c, compiled here by the C
// compiler.
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "codegen/cuda/service.h"
#include "fake_driver.h"
#include "runtime/cuda/session.h"

// ---- the service kernels, from their text

static void (*real_take)(CudaTake take);
static void (*real_give)(CudaGive give);
static unsigned (*set_place)(unsigned block, unsigned blocks, unsigned thread);

// What a kernel that may begin early does first. A slip forgets it.
static bool awaits;
static void await_earlier(void) {
    if (awaits) fake_await_earlier();
}

static const char service_head[] =
    "#define EMULATED\nvoid (*await_earlier)(void);\n"
    "#define __global__\n#define __launch_bounds__(n)\n"
    "#define bool _Bool\n"
    "static struct { unsigned x; } blockIdx, gridDim, threadIdx;\n"
    "static float __int_as_float(int i) { float f; __builtin_memcpy(&f, &i, 4); return f; }\n"
    "static void __threadfence_system(void) { __sync_synchronize(); }\n"
    "unsigned set_place(unsigned b, unsigned n, unsigned t) { blockIdx.x = b; gridDim.x = n; threadIdx.x = t; return "
    "t; }\n";

static int compile_service(void **state) {
    (void)state;
    char folder[] = "/tmp/sinter-service-XXXXXX", path[64], command[300];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s.c", folder);
    FILE *file = fopen(path, "w");
    fputs(service_head, file);
    static const char linkage[] = "extern \"C\" ";
    for (const char *text = cuda_service_source; *text;) {  // C has no such linkage
        if (strncmp(text, linkage, sizeof linkage - 1) == 0) text += sizeof linkage - 1;
        fputc(*text++, file);
    }
    fclose(file);
    snprintf(command, sizeof command, "cc -shared -fPIC -w -o %s/s.so %s", folder, path);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/s.so", folder);
    void *library = dlopen(path, RTLD_NOW);
    assert_non_null(library);
    *(void **)&real_take = dlsym(library, "sinter_take");
    *(void **)&real_give = dlsym(library, "sinter_give");
    *(void **)&set_place = dlsym(library, "set_place");
    *(void (**)(void))dlsym(library, "await_earlier") = await_earlier;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void run_take(void **arguments, unsigned block, unsigned blocks) {
    for (unsigned t = 0; t < CUDA_SERVICE_THREADS; t++) {
        set_place(block, blocks, t);
        real_take(*(CudaTake *)arguments[0]);
    }
}

static void run_give(void **arguments, unsigned block, unsigned blocks) {
    assert_int_equal(blocks, 1);
    set_place(block, blocks, 0);
    real_give(*(CudaGive *)arguments[0]);
}

// ---- the model's kernels

enum { TOKENS = 700 };

static void *argument(void **arguments, int number) { return (void *)(uintptr_t)*(CudaAddress *)arguments[number]; }

static void run_sum(void **arguments, unsigned block, unsigned blocks) {  // tok, learning_rate, out added
    (void)blocks;
    await_earlier();
    if (block != 0) return;
    const int32_t *tokens = argument(arguments, 0);
    double sum = 0;
    for (int i = 0; i < TOKENS; i++) sum += tokens[i];
    *(float *)argument(arguments, 2) = (float)(sum * *(float *)argument(arguments, 1));
}
static unsigned blocks_of_update;
static void run_update(void **arguments, unsigned block, unsigned blocks) {  // added, out w
    blocks_of_update = blocks;
    if (block != 0) return;
    await_earlier();
    *(float *)argument(arguments, 1) += *(float *)argument(arguments, 0);
}
static void run_copy(void **arguments, unsigned block, unsigned blocks) {  // from, out to
    (void)block, (void)blocks;
    await_earlier();
    *(float *)argument(arguments, 1) = *(float *)argument(arguments, 0);
}

#define KERNEL(text, bytes, count, function) \
    {.name = text, .argument_bytes = bytes, .argument_count = count, .run = function}
static void run_nothing(void **arguments, unsigned block, unsigned blocks) {
    (void)arguments, (void)block;
    assert_int_equal(blocks, 1);
}

static FakeKernel fake_kernels[] = {
    KERNEL("sinter_take", sizeof(CudaTake), 1, run_take), KERNEL("sinter_give", sizeof(CudaGive), 1, run_give),
    KERNEL("sum", sizeof(CudaAddress), 3, run_sum),       KERNEL("update", sizeof(CudaAddress), 2, run_update),
    KERNEL("copy", sizeof(CudaAddress), 2, run_copy),     KERNEL("sinter_nothing", 0, 0, run_nothing),
};

static CudaKernel kernels[] = {{.name = "sum", .buffer_count = 3, .threads = 128, .shared_bytes = 100 << 10},
                                     {.name = "update", .buffer_count = 2, .threads = 32},
                                     {.name = "copy", .buffer_count = 2, .threads = 32}};

enum { AT_TOKENS = 0, AT_RATE = 4096, AT_ADDED = 4160, AT_LOSS = 4224, AT_NORM = 4288, ARENA_BYTES = 4352, AT_W = 64 };
#define ARENA_AT(at) {MEMORY_ARENA, at}
#define W {MEMORY_STATE, AT_W}

static const ProgramBuffer sum_buffers[] = {ARENA_AT(AT_TOKENS), ARENA_AT(AT_RATE), ARENA_AT(AT_ADDED)};
static const ProgramBuffer update_buffers[] = {ARENA_AT(AT_ADDED), W};
static const ProgramBuffer loss_buffers[] = {W, ARENA_AT(AT_LOSS)},
                           norm_buffers[] = {ARENA_AT(AT_ADDED), ARENA_AT(AT_NORM)};
static const uint32_t after_sum[] = {0}, after_update[] = {1};
static CudaLaunch step_launches[] = {
    {.kernel = 0, .blocks = 4, .buffers = sum_buffers},
    {.kernel = 1, .blocks = 1, .buffers = update_buffers, .after = after_sum, .after_count = 1},
    {.kernel = 2, .blocks = 1, .buffers = loss_buffers, .after = after_update, .after_count = 1},
    {.kernel = 2, .blocks = 1, .buffers = norm_buffers, .after = after_sum, .after_count = 1},
};
static const CudaLaunch eval_launches[] = {{.kernel = 2, .blocks = 1, .buffers = loss_buffers}};

#define SLOT(slot_name, slot_kind, at, size) \
    {.name = slot_name, .kind = slot_kind, .is_plain = true, .buffer = ARENA_AT(at), .bytes = size}
static const ProgramSlot step_slots[] = {SLOT("tok", SLOT_INPUT, AT_TOKENS, 4 * TOKENS),
                                         SLOT("learning_rate", SLOT_INPUT, AT_RATE, 4),
                                         {.name = "w", .kind = SLOT_STATE, .buffer = W, .bytes = 4},
                                         SLOT("loss", SLOT_OUTPUT, AT_LOSS, 4),
                                         SLOT("grad_norm", SLOT_OUTPUT, AT_NORM, 4)};
static const ProgramSlot eval_slots[] = {SLOT("tok", SLOT_INPUT, AT_TOKENS, 4 * TOKENS),
                                         SLOT("loss", SLOT_OUTPUT, AT_LOSS, 4)};

static const CudaProgram programs[] = {
    {.name = "step", .launches = step_launches, .launch_count = 4, .slots = step_slots, .slot_count = 5,
     .state_bytes = 128, .arena_bytes = ARENA_BYTES},
    {.name = "eval", .launches = eval_launches, .launch_count = 1, .slots = eval_slots, .slot_count = 2,
     .state_bytes = 128, .arena_bytes = ARENA_BYTES},
};

// ---- the bench

typedef struct {
    Arena *arena;
    Diags *diags;
    const CudaDriver *driver;
    CudaDevice *device;
    CudaSession *session;
    bool begins_early;
} Bench;

static int set_up(void **state) {
    Arena *arena = arena_create();
    Bench *bench = ARENA_NEW(arena, Bench);
    const char *why;
    fake_install();
    awaits = true;
    fake_driver.kernels = fake_kernels;
    fake_driver.kernel_count = sizeof fake_kernels / sizeof *fake_kernels;
    bench->arena = arena;
    bench->diags = diags_create(arena);
    bench->driver = cuda_driver_open(arena, &why);
    assert_non_null(bench->driver);
    assert_int_equal(cuda_devices(arena, bench->driver, &bench->device, bench->diags), 1);
    *state = bench;
    return 0;
}

// The second launch is a kernel whose blocks wait for each other, and forgets to wait for earlier ones.
static void make_update_cooperative(bool is_it) {
    kernels[1].is_cooperative = fake_kernels[3].waits_for_blocks = is_it;
    step_launches[1].blocks = is_it ? 1000 : 1;
}

static int tear_down(void **state) {
    Bench *bench = *state;
    make_update_cooperative(false);
    cuda_session_free(bench->session);
    assert_int_equal(fake_held(), 0);
    fake_remove();
    arena_free(bench->arena);
    return 0;
}

static RuntimeStatus create(Bench *bench, uint32_t runs_per_launch) {
    static const char cubin[] = "a cubin";
    static const void *const cubins[] = {cubin};
    static const uint32_t cubin_of[] = {0, 0, 0};
    CudaImages images = {cubins, 1, cubin_of, cubin};
    CudaSessionSettings settings = {.driver = bench->driver,
                                    .device = bench->device,
                                    .kernels = kernels,
                                    .kernel_count = 3,
                                    .images = &images,
                                    .programs = programs,
                                    .program_count = 2,
                                    .runs_per_launch = runs_per_launch,
                                    .begins_early = bench->begins_early};
    return cuda_session_create(&settings, &bench->session, bench->diags);
}

static void submit_run(Bench *bench, int number, CudaOrder order) {
    int32_t *tokens = cuda_session_input(bench->session, &programs[0], "tok");
    float *rate = cuda_session_input(bench->session, &programs[0], "learning_rate");
    assert_non_null(tokens);
    assert_non_null(rate);
    for (int i = 0; i < TOKENS; i++) tokens[i] = number + i % 3;
    *rate = 1.0f / (float)(number + 1);
    assert_true(cuda_session_submit(bench->session, &programs[0], order, bench->diags));
}

static void submit_step(Bench *bench, int number) { submit_run(bench, number, (CudaOrder){0}); }

// What step `number` adds.
static float added(int number) {
    double sum = 0;
    for (int i = 0; i < TOKENS; i++) sum += number + i % 3;
    return (float)(sum * (1.0f / (float)(number + 1)));
}

static CudaRunResult collect(Bench *bench) {
    CudaRunResult result = {0};
    bool is_done = false;
    assert_true(cuda_session_collect(bench->session, true, &is_done, &result, bench->diags));
    assert_true(is_done);
    return result;
}

static const char *complaints(Bench *bench) {
    Text text = text_create(bench->arena);
    diags_render(bench->diags, &text);
    return text_string(&text);
}

// ---- tests

// Many runs, some under way at once, in every order of nodes.
static void pipelined(Bench *bench, uint32_t runs_per_launch, int depth) {
    enum { RUNS = 83 };
    assert_int_equal(create(bench, runs_per_launch), RUNTIME_OK);
    float w = 0;
    int collected = 0;
    for (int run = 0; run < RUNS; run++) {
        submit_step(bench, run);
        while (run + 1 - collected > depth || (run + 1 == RUNS && collected < RUNS)) {
            CudaRunResult result = collect(bench);
            w += added(collected);
            assert_int_equal(result.run, collected);
            assert_true(result.loss == w);
            assert_true(result.grad_norm == added(collected));
            collected++;
        }
    }
    float state = 0;
    assert_true(cuda_session_read(bench->session, &state, (ProgramBuffer)W, 4, bench->diags));
    assert_true(state == w);
    assert_int_equal(diags_count(bench->diags), 0);
    cuda_session_free(bench->session);
    bench->session = NULL;
}

static void results_come_in_order_whatever_is_under_way(void **state) {
    Bench *bench = *state;
    for (unsigned seed = 0; seed < 6; seed++) {
        fake_driver.order = seed;
        pipelined(bench, 1, 0);
        pipelined(bench, 1, 5);
        pipelined(bench, 1, CUDA_RING_ENTRIES - 1);
    }
}

static void several_steps_go_in_one_launch(void **state) {
    Bench *bench = *state;
    pipelined(bench, 4, 12);
    int launches = fake_calls("cuGraphLaunch");
    assert_in_range(launches, 20, 30);  // 83 runs: 20 launches of four, and the rest one by one
    pipelined(bench, 8, 3);             // collecting early flushes before eight are together
}

// Nodes that begin before those they wait for have done anything.
static void kernels_that_begin_early_wait_inside(void **state) {
    Bench *bench = *state;
    bench->begins_early = true;
    for (unsigned seed = 0; seed < 12; seed++) {
        fake_driver.order = seed;
        pipelined(bench, 1 + seed % 5, 9);
    }
    assert_true(fake_calls("cuGraphAddDependencies_v2") > 0);
}

// Without the wait the same launches read what is not there yet.
static void kernels_that_do_not_wait_are_seen(void **state) {
    Bench *bench = *state;
    bench->begins_early = true;
    awaits = false;
    int seen = 0;
    for (unsigned seed = 0; seed < 6; seed++) {
        fake_driver.order = seed;
        assert_int_equal(create(bench, 1), RUNTIME_OK);
        float w = 0;
        for (int run = 0; run < 4; run++) {
            submit_step(bench, run);
            CudaRunResult result = collect(bench);
            w += added(run);
            seen += !(result.loss == w && result.grad_norm == added(run));
        }
        cuda_session_free(bench->session);
        bench->session = NULL;
    }
    assert_true(seen > 0);
}

// With as many blocks as find room; neither it nor who waits for it begins early.
static void cooperative_kernels_have_room_for_all_blocks(void **state) {
    Bench *bench = *state;
    make_update_cooperative(true);
    for (unsigned seed = 0; seed < 8; seed++) {
        fake_driver.order = seed;
        fake_driver.resident = 1 + (int)seed % 3;
        bench->begins_early = seed % 2;
        pipelined(bench, 1 + seed % 5, 9);
        assert_int_equal(blocks_of_update, 132 * fake_driver.resident);
    }
    assert_true(fake_calls("cuGraphKernelNodeSetAttribute") > 0);
    step_launches[1].blocks = 20;
    pipelined(bench, 1, 0);
    assert_int_equal(blocks_of_update, 20);
}

static void cooperative_kernels_without_room_are_refused(void **state) {
    Bench *bench = *state;
    make_update_cooperative(true);
    fake_driver.resident = 0;
    assert_int_equal(create(bench, 1), RUNTIME_IO);
    assert_non_null(strstr(complaints(bench), "a persistent kernel has blocks of 32 threads and 0 bytes of shared "
                                              "memory, and no multiprocessor has room for one"));
    static const char *const names[] = {"cuOccupancyMaxActiveBlocksPerMultiprocessor", "cuGraphKernelNodeSetAttribute"};
    fake_driver.resident = 1;
    fake_driver.error = 999;
    for (size_t i = 0; i < 2; i++) {
        fake_driver.failing = names[i];
        fake_driver.failing_call = fake_calls(names[i]) + 1;
        assert_int_equal(create(bench, 1), RUNTIME_IO);
        assert_int_equal(diags_errors(bench->diags), 2 + i);
        assert_int_equal(fake_held(), 0);
    }
}

// A driver that knows such edges and takes none: a warning, and plain ones.
static void edges_that_are_refused_are_plain(void **state) {
    Bench *bench = *state;
    bench->begins_early = true;
    fake_driver.failing = "cuGraphAddDependencies_v2";
    fake_driver.failing_call = 1;
    fake_driver.error = 999;
    assert_int_equal(create(bench, 1), RUNTIME_OK);
    assert_int_equal(diags_errors(bench->diags), 0);
    assert_non_null(strstr(complaints(bench), "kernels begin when those before them have ended, not while they end"));
    assert_int_equal(fake_calls("cuGraphAddDependencies_v2"), 1);
    submit_step(bench, 2);
    assert_true(collect(bench).loss == added(2));
}

static void submitting_asks_the_device_nothing(void **state) {
    Bench *bench = *state;
    assert_int_equal(create(bench, 1), RUNTIME_OK);
    int synchronized = fake_calls("cuStreamSynchronize"), queried = fake_calls("cuStreamQuery");
    for (int run = 0; run < CUDA_RING_ENTRIES; run++) submit_step(bench, run);
    assert_int_equal(fake_calls("cuStreamSynchronize"), synchronized);
    assert_int_equal(fake_calls("cuStreamQuery"), queried);
    assert_int_equal(fake_calls("cuEventSynchronize") + fake_calls("cuMemcpyHtoD_v2") + fake_calls("cuMemcpyDtoH_v2"),
                     0);
    assert_int_equal(cuda_session_under_way(bench->session), CUDA_RING_ENTRIES);
    fake_run_all();
    queried = fake_calls("cuStreamQuery");
    for (int run = 0; run < CUDA_RING_ENTRIES; run++) assert_int_equal(collect(bench).run, run);
    assert_int_equal(fake_calls("cuStreamQuery"), queried);  // results that are there are seen by looking
}

static void a_result_that_is_not_there_is_not_waited_for(void **state) {
    Bench *bench = *state;
    assert_int_equal(create(bench, 1), RUNTIME_OK);
    submit_step(bench, 3);
    bool is_done = true;
    CudaRunResult result;
    assert_true(cuda_session_collect(bench->session, false, &is_done, &result, bench->diags));
    assert_false(is_done);
    fake_run_all();
    assert_true(cuda_session_collect(bench->session, false, &is_done, &result, bench->diags));
    assert_true(is_done);
    assert_true(result.loss == added(3));
}

static void programs_take_turns(void **state) {
    Bench *bench = *state;
    assert_int_equal(create(bench, 4), RUNTIME_OK);
    assert_null(cuda_session_input(bench->session, &programs[1], "learning_rate"));
    submit_step(bench, 0);
    submit_step(bench, 1);
    assert_true(cuda_session_submit(bench->session, &programs[1], (CudaOrder){0}, bench->diags));
    submit_step(bench, 2);
    collect(bench);
    assert_true(collect(bench).loss == added(0) + added(1));
    CudaRunResult eval = collect(bench);
    assert_true(eval.loss == added(0) + added(1));
    assert_true(isnan(eval.grad_norm));
    assert_true(collect(bench).loss == added(0) + added(1) + added(2));
}

// Iterations of `micros` runs of one program and one of another, which stands for the step. Returns the launches.
static int iterations_of(Bench *bench, uint32_t runs_per_launch, int micros, int iterations) {
    enum { BEGINS = 1, FOLLOWS = 2 };
    assert_int_equal(create(bench, runs_per_launch), RUNTIME_OK);
    int launches = fake_calls("cuGraphLaunch"), submitted = 0, collected = 0;
    float w = 0;
    for (int i = 0; i < iterations; i++)
        for (int micro = 0; micro <= micros; micro++) {
            CudaOrder order = {.place = micro == 0 ? BEGINS : FOLLOWS, .goes_on = micro < micros};
            if (micro < micros) submit_run(bench, i * micros + micro, order);
            else assert_true(cuda_session_submit(bench->session, &programs[1], order, bench->diags));
            submitted++;
            while (submitted - collected > CUDA_RING_ENTRIES - 1 || (i + 1 == iterations && micro == micros &&
                                                                      collected < submitted)) {
                int done = collected % (micros + 1);
                if (done < micros) w += added(collected / (micros + 1) * micros + done);
                assert_true(collect(bench).loss == w);
                collected++;
            }
        }
    launches = fake_calls("cuGraphLaunch") - launches;
    cuda_session_free(bench->session);
    bench->session = NULL;
    return launches;
}

// Whole iterations in a launch, as many as fit; of a long one so many runs as fit, and then the rest.
static void iterations_go_in_one_launch(void **state) {
    Bench *bench = *state;
    for (unsigned seed = 0; seed < 4; seed++) {
        fake_driver.order = seed;
        assert_int_equal(iterations_of(bench, 1, 2, 12), 36);
        assert_int_equal(iterations_of(bench, 3, 2, 12), 12);
        assert_int_equal(iterations_of(bench, 5, 2, 12), 12);
        assert_int_equal(iterations_of(bench, 8, 2, 12), 6);
        assert_int_equal(iterations_of(bench, 8, 3, 12), 6);
        assert_int_equal(iterations_of(bench, 8, 18, 4), 12);   // 8, 8, 3
        assert_int_equal(iterations_of(bench, 8, 8, 3), 6);     // 8, and the step by itself
    }
    assert_int_equal(diags_count(bench->diags), 0);
}

// One that is cut short, and an evaluation between iterations, which shares no launch with them.
static void iterations_that_are_cut_short(void **state) {
    Bench *bench = *state;
    assert_int_equal(create(bench, 8), RUNTIME_OK);
    submit_run(bench, 0, (CudaOrder){.place = 1, .goes_on = 1});
    assert_true(collect(bench).loss == added(0));
    submit_run(bench, 1, (CudaOrder){.place = 1, .goes_on = 1});
    submit_run(bench, 2, (CudaOrder){.place = 2});
    assert_int_equal(fake_calls("cuGraphLaunch"), 1);
    assert_true(cuda_session_submit(bench->session, &programs[1], (CudaOrder){.place = 3}, bench->diags));
    assert_int_equal(fake_calls("cuGraphLaunch"), 3);
    collect(bench);
    float w = collect(bench).loss;
    assert_true(w == added(0) + added(1) + added(2));
    assert_true(collect(bench).loss == w);
}

// Seconds that nothing measures: an event takes 1, a launch 10 before it does anything, and each of its blocks 100, but
// of the kernels around a step, which are in no interval.
static double made_up_seconds(const FakeKernel *kernel, unsigned blocks) {
    if (!kernel) return 1;
    return strcmp(kernel->name, "sinter_nothing") == 0 ? 10 : 10 + 100 * (double)blocks;
}

static void launches_are_timed_one_by_one(void **state) {
    Bench *bench = *state;
    assert_int_equal(create(bench, 2), RUNTIME_OK);
    fake_driver.seconds_of = made_up_seconds;
    submit_step(bench, 0);
    assert_true(collect(bench).loss == added(0));
    for (int run = 0; run < 2; run++) {  // the graph is made once
        int32_t *tokens = cuda_session_input(bench->session, &programs[0], "tok");
        float *rate = cuda_session_input(bench->session, &programs[0], "learning_rate");
        for (int i = 0; i < TOKENS; i++) tokens[i] = 5 + i % 3;
        *rate = 1.0f / 6;
        int graphs = fake_calls("cuGraphInstantiateWithFlags");
        double times[6];
        assert_true(cuda_session_time(bench->session, &programs[0], (CudaOrder){0}, times, bench->diags));
        static const double expected[] = {411, 111, 111, 111, 11, 1};
        for (int i = 0; i < 6; i++) assert_true(fabs(times[i] - expected[i]) < 1e-3);
        float loss = run == 0 ? added(0) + added(5) : added(0) + added(5) + added(5);
        assert_true(collect(bench).loss == loss);
        assert_int_equal(fake_calls("cuGraphInstantiateWithFlags"), graphs + (run == 0));
    }
    submit_step(bench, 1);
    assert_true(collect(bench).loss == added(0) + added(5) + added(5) + added(1));
}

static void timing_that_fails_is_said_and_leaves_nothing(void **state) {
    Bench *bench = *state;
    static const char *const names[] = {"cuEventCreate", "cuGraphAddEventRecordNode", "cuGraphLaunch",
                                        "cuEventElapsedTime"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        double times[6];
        assert_int_equal(create(bench, 1), RUNTIME_OK);
        fake_driver.failing = names[i];
        fake_driver.failing_call = fake_calls(names[i]) + 2 - (i == 2);
        fake_driver.error = 2;
        cuda_session_input(bench->session, &programs[0], "tok");
        assert_false(cuda_session_time(bench->session, &programs[0], (CudaOrder){0}, times, bench->diags));
        assert_int_equal(diags_errors(bench->diags), i + 1);
        fake_driver.failing = NULL;
        cuda_session_free(bench->session);
        bench->session = NULL;
        assert_int_equal(fake_held(), 0);
    }
}

static void states_are_written_and_read(void **state) {
    Bench *bench = *state;
    assert_int_equal(create(bench, 1), RUNTIME_OK);
    float w = 0.5f;
    float state_before = 1;
    assert_true(cuda_session_read(bench->session, &state_before, (ProgramBuffer)W, 4, bench->diags));
    assert_true(state_before == 0);  // memory is cleared
    assert_true(cuda_session_write(bench->session, (ProgramBuffer)W, &w, 4, bench->diags));
    submit_step(bench, 1);
    assert_true(cuda_session_read(bench->session, &w, (ProgramBuffer)W, 4, bench->diags));  // behind the run
    assert_true(w == 0.5f + added(1));
    assert_true(collect(bench).loss == w);
}

static void too_little_memory_is_said_with_figures(void **state) {
    Bench *bench = *state;
    fake_driver.free_bytes = 3000;
    assert_int_equal(create(bench, 1), RUNTIME_MEMORY);
    assert_non_null(strstr(complaints(bench), "of the GPU's memory and 0.0 MB of 150754.8 MB are free"));
    assert_int_equal(fake_calls("cuMemAlloc_v2"), 0);
}

// Every call that making a session needs, failing once: a diagnostic in the driver's words, nothing left behind.
static void each_failing_call_is_said_and_leaves_nothing(void **state) {
    Bench *bench = *state;
    static const char *const names[] = {"cuDevicePrimaryCtxRetain",
                                        "cuCtxSetCurrent",
                                        "cuMemGetInfo_v2",
                                        "cuMemAlloc_v2",
                                        "cuMemHostAlloc",
                                        "cuMemHostGetDevicePointer_v2",
                                        "cuStreamCreate",
                                        "cuEventCreate",
                                        "cuMemsetD8Async",
                                        "cuModuleLoadData",
                                        "cuModuleGetFunction",
                                        "cuFuncSetAttribute",
                                        "cuGraphCreate",
                                        "cuGraphAddKernelNode_v2",
                                        "cuGraphInstantiateWithFlags"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int call = 1; call <= 4; call++) {
            FakeDriver settings = fake_driver;
            fake_install();
            fake_driver = settings;
            fake_driver.failing = names[i];
            fake_driver.failing_call = call;
            fake_driver.error = call % 2 ? 2 : 999;
            bench->diags = diags_create(bench->arena);
            RuntimeStatus status = create(bench, 2);
            if (fake_calls(names[i]) < call) {  // not called that often
                assert_int_equal(status, RUNTIME_OK);
                cuda_session_free(bench->session);
            } else {
                assert_int_not_equal(status, RUNTIME_OK);
                assert_int_equal(diags_errors(bench->diags), 1);
                const char *words = call % 2 ? "out of memory (CUDA_ERROR_OUT_OF_MEMORY)" : "words of a test";
                assert_non_null(strstr(complaints(bench), words));
            }
            bench->session = NULL;
            fake_driver.failing = NULL;
            assert_int_equal(fake_held(), 0);
        }
    }
}

static void a_failing_kernel_is_said_when_its_result_is_wanted(void **state) {
    Bench *bench = *state;
    assert_int_equal(create(bench, 1), RUNTIME_OK);
    submit_step(bench, 0);
    collect(bench);
    fake_driver.launch_error = 719;
    submit_step(bench, 1);
    bool is_done;
    CudaRunResult result;
    assert_false(cuda_session_collect(bench->session, true, &is_done, &result, bench->diags));
    assert_non_null(
        strstr(complaints(bench), "cannot finish a step: unspecified launch failure (CUDA_ERROR_LAUNCH_FAILED)"));
    float w;
    assert_false(cuda_session_read(bench->session, &w, (ProgramBuffer)W, 4, bench->diags));
}

static void a_failing_launch_is_said_at_once(void **state) {
    Bench *bench = *state;
    assert_int_equal(create(bench, 1), RUNTIME_OK);
    static const char *const names[] = {"cuGraphLaunch", "cuMemcpyHtoDAsync_v2", "cuEventRecord", "cuStreamWaitEvent"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fake_driver.failing = names[i];
        fake_driver.failing_call = fake_calls(names[i]) + 1;
        fake_driver.error = 999;
        cuda_session_input(bench->session, &programs[0], "tok");
        assert_false(cuda_session_submit(bench->session, &programs[0], (CudaOrder){0}, bench->diags));
        assert_int_equal(diags_errors(bench->diags), i + 1);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(results_come_in_order_whatever_is_under_way),
        TEST(several_steps_go_in_one_launch),
        TEST(iterations_go_in_one_launch),
        TEST(iterations_that_are_cut_short),
        TEST(kernels_that_begin_early_wait_inside),
        TEST(kernels_that_do_not_wait_are_seen),
        TEST(cooperative_kernels_have_room_for_all_blocks),
        TEST(cooperative_kernels_without_room_are_refused),
        TEST(edges_that_are_refused_are_plain),
        TEST(submitting_asks_the_device_nothing),
        TEST(a_result_that_is_not_there_is_not_waited_for),
        TEST(programs_take_turns),
        TEST(launches_are_timed_one_by_one),
        TEST(timing_that_fails_is_said_and_leaves_nothing),
        TEST(states_are_written_and_read),
        TEST(too_little_memory_is_said_with_figures),
        TEST(each_failing_call_is_said_and_leaves_nothing),
        TEST(a_failing_kernel_is_said_when_its_result_is_wanted),
        TEST(a_failing_launch_is_said_at_once),
    };
    return cmocka_run_group_tests(tests, compile_service, NULL);
}
