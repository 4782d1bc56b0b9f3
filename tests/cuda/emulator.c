// Fibers in the place of CUDA threads (see emulator.h).
//
// Method: makecontext gives each fiber its stack once, _setjmp and _longjmp change between them (Engelschall, "Portable
// multithreading: the signal stack trick for user-space thread creation", USENIX 2000, has the history). A block's
// fibers run one at a time until all have ended; those that wait at a barrier go on when everybody they wait for is
// there.
#undef _FORTIFY_SOURCE // longjmp between stacks is what this file is about
#include "tests/cuda/emulated_tensor.h"
#include "tests/cuda/emulated_warpgroup.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/diag.h"

enum { MOST_THREADS = 1024, WARP = 32, STACK_BYTES = 128 << 10 };

typedef enum { FIBER_READY, FIBER_WAITS, FIBER_ENDED } FiberState;
typedef enum {
    MEET_SHUFFLE,
    MEET_WARP,
    MEET_BLOCK,
    MEET_MATRICES,
    MEET_PRODUCT,
    MEET_WARPGROUP,
    MEET_BARRIER,        // in shared memory: nobody is met, a phase of it has to be over
    MEET_GRID            // nobody is met: a count has to change
} MeetKind;

typedef struct {
    FiberState state;
    bool begun;
    jmp_buf context;
    // where it waits
    MeetKind kind;
    int site;
    unsigned mask;       // lanes of its warp that meet; of a block, how many threads
    int distance;
    float value;
    void *brought;       // to what a warp or a warpgroup does together; a barrier
} Fiber;

static struct {
    const EmulatedLaunch *launch;
    Arena *arena;
    Fiber fibers[EMULATED_FIBERS];      // block after block of those that are there
    uint32_t count;
    uint32_t blocks[EMULATED_BLOCKS];   // their numbers
    unsigned char *shared[EMULATED_BLOCKS];
    char *stacks;
    uint32_t current, ready_count;
    uint32_t ready[EMULATED_FIBERS];
    uint64_t random;
    jmp_buf scheduler;
    sigjmp_buf fault;
    void *fault_address;
    volatile bool runs;
    bool shared_at_begin;
} machine;

static uint32_t draw(uint32_t bound) { // xorshift64*, Vigna 2016
    machine.random ^= machine.random >> 12;
    machine.random ^= machine.random << 25;
    machine.random ^= machine.random >> 27;
    return (uint32_t)((machine.random * 0x2545f4914f6cdd1du) >> 33) % bound;
}

// Which of the blocks that are there a fiber is of.
static uint32_t slot_of(uint32_t fiber) { return fiber / machine.launch->threads; }

// ---- changing between fibers

static void fiber_begin(void) {
    machine.launch->entry(machine.launch->buffers);
    machine.fibers[machine.current].state = FIBER_ENDED;
    _longjmp(machine.scheduler, 1);
}

static char *stack_of(uint32_t fiber) {
    if (!machine.stacks) {
        machine.stacks = mmap(NULL, (size_t)EMULATED_FIBERS * STACK_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (machine.stacks == MAP_FAILED) BUG("no memory for the stacks of fibers");
    }
    return machine.stacks + (size_t)fiber * STACK_BYTES;
}

static void run_fiber(uint32_t number) {
    Fiber *fiber = &machine.fibers[number];
    machine.current = number;
    machine.launch->emulated->thread = (Emulated3){number % machine.launch->threads, 0, 0};
    machine.launch->emulated->block = (Emulated3){machine.blocks[slot_of(number)], 0, 0};
    machine.launch->emulated->shared = machine.shared[slot_of(number)];
    machine.launch->emulated->site = fiber->site;
    if (_setjmp(machine.scheduler)) return;
    if (fiber->begun) _longjmp(fiber->context, 1);
    fiber->begun = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stack_of(number);
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = NULL;
    makecontext(&context, fiber_begin, 0);
    setcontext(&context);
}

// ---- meeting

static bool waits_alike(const Fiber *a, const Fiber *b) {
    return b->state == FIBER_WAITS && a->kind == b->kind && a->site == b->site && a->mask == b->mask &&
           a->distance == b->distance;
}

static void make_ready(uint32_t number) {
    machine.fibers[number].state = FIBER_READY;
    machine.ready[machine.ready_count++] = number;
}

static bool takes_part(uint32_t me, uint32_t other, const Fiber *fiber) {
    if (fiber->kind == MEET_BARRIER || fiber->kind == MEET_GRID) return me == other;
    if (fiber->kind == MEET_BLOCK)
        return slot_of(me) == slot_of(other) && other % machine.launch->threads < fiber->mask;
    if (fiber->kind == MEET_WARPGROUP) return me / WARPGROUP == other / WARPGROUP;
    return me / WARP == other / WARP && (fiber->mask >> (other % WARP) & 1);
}

// When everybody is there, all go on. A thread that its own mask leaves out is waited for in vain.
static void meet(uint32_t me) {
    const Fiber mine = machine.fibers[me];
    bool all = mine.kind == MEET_BLOCK;
    uint32_t several = mine.kind == MEET_WARPGROUP ? WARPGROUP : WARP, threads = machine.launch->threads;
    uint32_t block = me - me % threads, first = all ? block : me / several * several;
    uint32_t end = all || first + several > block + threads ? block + threads : first + several;
    float values[WARP] = {0};
    void *brought[WARPGROUP] = {0};
    if (!takes_part(me, me, &mine) || mine.kind == MEET_BARRIER || mine.kind == MEET_GRID) return;
    for (uint32_t i = first; i < end; i++) {
        if (!takes_part(me, i, &mine)) continue;
        if (!waits_alike(&mine, &machine.fibers[i])) return;
        values[i % WARP] = machine.fibers[i].value;
        brought[i % several] = machine.fibers[i].brought;
    }
    if (all) barriers_meet();
    if (mine.kind == MEET_WARPGROUP) warpgroup_together(me / WARPGROUP, (EmulatedTogether **)brought);
    if (mine.kind == MEET_MATRICES) warp_load_matrices((EmulatedMatrices **)brought);
    if (mine.kind == MEET_PRODUCT) warp_multiply((EmulatedProduct **)brought, machine.launch->exact);
    for (uint32_t i = first; i < end; i++) {
        if (!takes_part(me, i, &mine)) continue;
        uint32_t partner = (i % WARP) ^ (uint32_t)mine.distance;
        bool there = partner < WARP && (mine.mask >> partner & 1);
        if (mine.kind == MEET_SHUFFLE) machine.fibers[i].value = there ? values[partner] : __builtin_nanf("");
        make_ready(i);
    }
}

static void wait_for(MeetKind kind, unsigned mask, int distance, float value) {
    Fiber *fiber = &machine.fibers[machine.current];
    fiber->state = FIBER_WAITS;
    fiber->kind = kind;
    fiber->site = machine.launch->emulated->site;
    fiber->mask = mask;
    fiber->distance = distance;
    fiber->value = value;
    meet(machine.current);
    if (_setjmp(fiber->context) == 0) _longjmp(machine.scheduler, 1);
}

static void load_matrices(EmulatedMatrices *matrices) {
    machine.fibers[machine.current].brought = matrices;
    wait_for(MEET_MATRICES, ~0u, 0, 0);
}

static void multiply(EmulatedProduct *product) {
    machine.fibers[machine.current].brought = product;
    wait_for(MEET_PRODUCT, ~0u, 0, 0);
}

static void together(EmulatedTogether *together) {
    machine.fibers[machine.current].brought = together;
    wait_for(MEET_WARPGROUP, ~0u, (int)together->kind, 0);
}

static void wait_for_phase(void *barrier, int parity) {
    machine.fibers[machine.current].brought = barrier;
    if (!barrier_passes(barrier, parity)) wait_for(MEET_BARRIER, ~0u, parity, 0);
}

static void wake(const void *barrier) {
    for (uint32_t i = 0; i < machine.count; i++) {
        const Fiber *fiber = &machine.fibers[i];
        if (fiber->state != FIBER_WAITS || fiber->kind != MEET_BARRIER || fiber->brought != barrier) continue;
        if (barrier_passes(barrier, fiber->distance)) make_ready(i);
    }
}

// ---- barriers of the grid

static bool is_flipped(const Fiber *fiber) {
    return (*(const unsigned *)fiber->brought ^ (unsigned)fiber->distance) >> 31;
}

static unsigned count_arrival(unsigned *count, unsigned add) {
    unsigned before = *count;
    *count += add;
    for (uint32_t i = 0; i < machine.count; i++) {
        const Fiber *fiber = &machine.fibers[i];
        bool waits = fiber->state == FIBER_WAITS && fiber->kind == MEET_GRID && fiber->brought == count;
        if (waits && is_flipped(fiber)) make_ready(i);
    }
    return before;
}

static void await_flip(const unsigned *count, unsigned before) {
    Fiber *fiber = &machine.fibers[machine.current];
    fiber->brought = (void *)(uintptr_t)count;
    fiber->distance = (int)before;
    if (!is_flipped(fiber)) wait_for(MEET_GRID, ~0u, (int)before, 0);
}

// ---- asynchronous copies

static void copy(void *to, const void *from, int bytes, int whole) {
    const EmulatedLaunch *launch = machine.launch;
    uintptr_t place = launch->place ? launch->place(launch->context, from) : (uintptr_t)from;
    copies_begin(machine.current, &(EmulatedCopy){to, from, bytes, whole}, place, draw(4) == 0);
}

static void *aligned(const void *place, int bytes) {
    const EmulatedLaunch *launch = machine.launch;
    uintptr_t there = launch->place ? launch->place(launch->context, place) : (uintptr_t)place;
    access_begins(there, bytes);
    return (void *)(uintptr_t)place;
}

static void group_copies(void) {
    copies_group(machine.current);
}

static void wait_for_copies(int count) {
    copies_finish(machine.current, count);
}

static float shuffle_xor(unsigned mask, float value, int distance, int width) {
    uint32_t me = machine.current;
    // A partner outside of the segment gives back the own value.
    if (((me % WARP) ^ (unsigned)distance) / (unsigned)width != me % WARP / (unsigned)width) distance = 0;
    wait_for(MEET_SHUFFLE, mask, distance, value);
    return machine.fibers[me].value;
}

static void warp_barrier(unsigned mask) {
    wait_for(MEET_WARP, mask, 0, 0);
}

static void meet_block(unsigned threads) {
    wait_for(MEET_BLOCK, threads ? threads : machine.launch->threads, 0, 0);
}

// Launches inside of this one: nothing but a thread's way up to here has been done in its block.
static void await_earlier(void) {
    if (machine.launch->await_earlier) machine.launch->await_earlier();
}

// ---- blocks

static const char *describe(uint32_t number) {
    static const char *const kinds[] = {"a shuffle", "a barrier of its warp", "a barrier of its block",
                                        "a load of matrices", "a product of matrices", "what its warpgroup does",
                                        "a barrier in shared memory", "a barrier of the grid"};
    const Fiber *fiber = &machine.fibers[number];
    if (fiber->state == FIBER_ENDED) return arena_format(machine.arena, "thread %u has ended", number);
    return arena_format(machine.arena, "thread %u waits at %s", number, kinds[fiber->kind]);
}

static bool waits_at_grid(uint32_t number) {
    return machine.fibers[number].state == FIBER_WAITS && machine.fibers[number].kind == MEET_GRID;
}

// Whoever waits for its block's first thread is not to blame while that waits for other blocks.
static bool block_waits_at_grid(uint32_t number) {
    return waits_at_grid(number - number % machine.launch->threads);
}

static const char *complain_of_divergence(void) {
    for (uint32_t i = 0; i < machine.count; i++) {
        const Fiber *fiber = &machine.fibers[i];
        uint32_t block = machine.blocks[slot_of(i)];
        if (fiber->state != FIBER_WAITS || block_waits_at_grid(i)) continue;
        if (fiber->kind == MEET_BARRIER)
            return arena_format(machine.arena, "block %u: %s whose phase of parity %d does not end", block, describe(i),
                                fiber->distance);
        for (uint32_t k = 0; k < machine.count; k++)
            if ((k == i || takes_part(i, k, fiber)) &&
                (!takes_part(i, i, fiber) || !waits_alike(fiber, &machine.fibers[k])))
                return arena_format(machine.arena, "divergence in block %u: %s and %s%s", block, describe(i),
                                    describe(k), machine.fibers[k].state == FIBER_WAITS ? ", at another place" : "");
    }
    for (uint32_t i = 0; i < machine.count; i++)
        if (waits_at_grid(i))
            return arena_format(machine.arena, "block %u: %s that not all blocks reach", machine.blocks[slot_of(i)],
                                describe(i));
    BUG("nobody is ready, and nobody waits in vain");
}

// Shared memory of blocks in which nothing has been done.
static void begin_shared(void) {
    const EmulatedLaunch *launch = machine.launch;
    for (uint32_t slot = 0; slot * launch->threads < machine.count; slot++)
        machine.shared[slot] = shared_memory(slot, launch->shared_bytes, machine.shared_at_begin);
    launch->emulated->shared = machine.shared[0];
    warpgroup_begin(&(WarpgroupBlock){machine.shared[0], launch->shared_bytes, launch->exact, draw, wake});
}

// Blocks that are there at once: those of machine.blocks.
static const char *run_group(uint32_t count) {
    const EmulatedLaunch *launch = machine.launch;
    machine.count = count * launch->threads;
    machine.ready_count = 0;
    machine.shared_at_begin = draw(4) == 0;
    begin_shared();
    for (uint32_t i = 0; i < machine.count; i++) {
        machine.fibers[i].begun = false;
        copies_forget(i);
        make_ready(i);
    }
    static const uint32_t paces[] = {2, 64, 2048, UINT32_MAX};   // how slow boxes are: the last, only when all wait
    uint32_t ended = 0, pace = paces[draw(4)];
    while (machine.ready_count > 0 || box_comes()) {
        if (draw(pace) == 0 && pace < UINT32_MAX) box_comes();
        if (machine.ready_count == 0) continue;
        uint32_t at = draw(machine.ready_count), number = machine.ready[at];
        machine.ready[at] = machine.ready[--machine.ready_count];
        run_fiber(number);
        ended += machine.fibers[number].state == FIBER_ENDED;
    }
    const char *wrong = warpgroup_complaint(ended == machine.count);
    if (!wrong && ended < machine.count) return complain_of_divergence();
    if (!wrong) wrong = copies_complaint(machine.count);
    return wrong ? arena_format(machine.arena, "block %u: %s", machine.blocks[0], wrong) : NULL;
}

static const char *run_blocks(void) {
    uint32_t count = machine.launch->blocks;
    uint32_t *order = ARENA_ARRAY(machine.arena, uint32_t, count); // given back also when a fault jumps out of here
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = draw(i + 1); // Fisher and Yates
        order[i] = order[other];
        order[other] = i;
    }
    uint32_t at_once = machine.launch->is_cooperative ? count : 1;
    const char *wrong = NULL;
    for (uint32_t i = 0; i < count && !wrong; i += at_once) {
        for (uint32_t k = 0; k < at_once; k++) machine.blocks[k] = order[i + k];
        wrong = run_group(at_once);
    }
    return wrong;
}

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    if (!machine.runs) {
        signal(number, SIG_DFL);
        return;
    }
    machine.fault_address = info->si_addr;
    siglongjmp(machine.fault, 1);
}

static const char *emulate_alone(Arena *arena, const EmulatedLaunch *launch) {
    CHECK(launch->threads <= MOST_THREADS && launch->threads > 0);
    if (launch->is_cooperative &&
        (launch->blocks > EMULATED_BLOCKS || launch->blocks * launch->threads > EMULATED_FIBERS))
        return arena_format(arena, "%u blocks of %u threads do not all find room in the emulation", launch->blocks,
                            launch->threads);
    CHECK(!launch->is_cooperative || launch->threads % WARP == 0);
    machine.launch = launch;
    machine.arena = arena;
    machine.random = launch->seed * 0x9e3779b97f4a7c15u + 1;
    Emulated *emulated = launch->emulated;
    emulated->block_extent = (Emulated3){launch->threads, 1, 1};
    emulated->grid_extent = (Emulated3){launch->blocks, 1, 1};
    emulated->shuffle_xor = shuffle_xor;
    emulated->warp_barrier = warp_barrier;
    emulated->meet_block = meet_block;
    emulated->await_earlier = await_earlier;
    emulated->count_arrival = count_arrival;
    emulated->await_flip = await_flip;
    emulated->exact = launch->exact;
    emulated->load_matrices = load_matrices;
    emulated->multiply = multiply;
    emulated->copy = copy;
    emulated->aligned = aligned;
    emulated->copies_end = group_copies;
    emulated->copies_wait = wait_for_copies;
    emulated->warpgroup =
        (EmulatedWarpgroup){barrier_begin, barrier_arrive, wait_for_phase, barriers_publish, box_begin, together};
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, before_segv, before_bus;
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
    const char *wrong;
    if (sigsetjmp(machine.fault, 1)) {
        wrong = arena_format(arena, "thread %u of block %u touches memory that belongs to no buffer (%p)",
                             machine.current, emulated->block.x, machine.fault_address);
    } else {
        machine.runs = true;
        wrong = run_blocks();
    }
    machine.runs = false;
    sigaction(SIGSEGV, &before_segv, NULL);
    sigaction(SIGBUS, &before_bus, NULL);
    return wrong;
}

// A launch that another one awaits has a machine of its own, and leaves everything as that one had it.
const char *emulate(Arena *arena, const EmulatedLaunch *launch) {
    static char *spare_stacks;
    if (!machine.runs) return emulate_alone(arena, launch);
    __typeof__(machine) *outer = ARENA_NEW(arena, __typeof__(machine));
    *outer = machine;
    Emulated before = *outer->launch->emulated;
    machine.stacks = spare_stacks;
    spare_stacks = NULL;
    const char *wrong = emulate_alone(arena, launch);
    spare_stacks = machine.stacks;
    machine = *outer;
    *machine.launch->emulated = before;
    begin_shared();
    return wrong;
}
