// The door of codegen/cpu: Plans in, Programs out.
//
// In: the plans of one model (step, eval, logits). Each tiled step is lowered to a tile program; equal ones become one
// kernel for all layers and programs; all kernels are compiled at once; products with engine blas get a library call.
// Out: one Program per plan. They share one owner, which holds the machine code and every table; the last program_free
// frees it.
//
//     step 7 row "layernorm" in %1, %2 out %3   ->   {function row_layernorm_81f3, buffers %1 %2 %3, pieces 4, wait}
#include <stdatomic.h>
#include <time.h>

#include "codegen/cpu/cpu.h"

// ---- the owner of code and tables

typedef struct {
    MemoryOwned owned;
    atomic_int programs; // that still live
    Arena *arena;
    CpuCode *code;
} Owner;

static void owner_free(void *context) {
    Owner *owner = context;
    memory_disown(&owner->owned);
    cpu_code_free(owner->code);
    arena_free(owner->arena); // the owner itself lies in it
}

static void owner_release(void *context) {
    Owner *owner = context;
    if (atomic_fetch_sub(&owner->programs, 1) > 1) return;
    owner_free(owner);
}

static Owner *owner_create(int programs) {
    Arena *arena = arena_create();
    Owner *owner = ARENA_NEW(arena, Owner);
    owner->arena = arena;
    atomic_init(&owner->programs, programs);
    memory_own(&owner->owned, owner_free, owner);
    return owner;
}

// ---- lowering and sharing

typedef struct {
    const Plan *const *plans;
    const char *const *names;
    int count;
    const Target *target;
    CodegenReport *report;
    Arena *scratch; // tile programs, kernel numbers
    KernelSet kernels;
    uint32_t **numbers; // [plan][step]: kernel in the set, of tiled steps
} Compilation;

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint32_t lower_step(Compilation *compilation, const Plan *plan, const Step *step) {
    TileProgram *program = tile_lower(compilation->scratch, plan, step, compilation->target);
    CodegenReport *report = compilation->report;
    uint32_t before = compilation->kernels.count;
    uint32_t number = kernel_set_add(&compilation->kernels, program, step_aliased(compilation->scratch, plan, step));
    report->kernels++;
    if (number < before) return number;
    const char *unsound = tile_verify(program, compilation->scratch);
    if (unsound) BUG("tile program %s: %s", program->name, unsound);
    if (report->tiles) tile_print(program, report->tiles);
    return number;
}

static void lower_plans(Compilation *compilation) {
    double start = seconds_now();
    compilation->numbers = ARENA_ARRAY(compilation->scratch, uint32_t *, (size_t)compilation->count);
    for (int p = 0; p < compilation->count; p++) {
        const Plan *plan = compilation->plans[p];
        compilation->numbers[p] = ARENA_ARRAY(compilation->scratch, uint32_t, plan->step_count + 1);
        for (uint32_t s = 0; s < plan->step_count; s++)
            if (plan->steps[s].engine == ENGINE_TILES)
                compilation->numbers[p][s] = lower_step(compilation, plan, &plan->steps[s]);
    }
    compilation->report->distinct_kernels += compilation->kernels.count;
    compilation->report->lower_seconds += seconds_now() - start;
}

// ---- programs

// Those of all rounds.
static uint32_t step_pieces(const Plan *plan, const Step *step) {
    return cut_sums_rounds(plan, step) ? step->cut.pieces * step->cut.rounds : step->cut.pieces;
}

static const ProgramWindow *windows_of_step(Arena *arena, const Plan *plan, const Step *step, const Cut *const *cuts) {
    uint32_t count = step->operand_count + step->output_count;
    ProgramWindow *windows = NULL;
    for (uint32_t i = 0; i < count; i++) {
        ValueId id = step_buffer_value(step, i);
        const Value *value = &plan->values[id];
        if (value->space != SPACE_SCRATCH && !value->rounds) continue;
        if (!windows) windows = ARENA_ARRAY(arena, ProgramWindow, count);
        windows[i] = value->rounds
                         ? (ProgramWindow){value_round_bytes(value), step_pieces(plan, step) / value->rounds}
                         : (ProgramWindow){value->bytes, step->cut.pieces / cuts[id]->pieces};
    }
    return windows;
}

// `cuts`: by value, of which scratch memory holds one piece.
static ProgramStep build_step(const Compilation *compilation, Arena *arena, int plan_number, uint32_t number,
                              const Cut *const *cuts) {
    const Plan *plan = compilation->plans[plan_number];
    const Step *step = &plan->steps[number];
    ProgramStep result = {
        .pieces = step_pieces(plan, step),
        .rounds = step->cut.rounds,
        .groups = step->cut.groups,
        .wait = step->wait,
        .joined = step->joined,
        .chained = step->chained,
        .id = number,
        .label = step_title(arena, step),
        .flops = step->flops,
        .bytes = step->bytes,
    };
    result.buffers = step_buffers(arena, plan, step, &result.buffer_count);
    result.windows = windows_of_step(arena, plan, step, cuts);
    if (step->engine == ENGINE_BLAS) {
        result.function = blas_product;
        result.context = blas_context(arena, plan, step);
    } else {
        result.function = compilation->kernels.kernels[compilation->numbers[plan_number][number]].function;
    }
    return result;
}

static Program *build_program(const Compilation *compilation, Owner *owner, int number) {
    const Plan *plan = compilation->plans[number];
    Arena *arena = owner->arena;
    ProgramStep *steps = ARENA_ARRAY(arena, ProgramStep, plan->step_count + 1);
    const Cut *const *cuts = plan_windows(plan, plan_nest(plan, compilation->scratch), compilation->scratch);
    for (uint32_t s = 0; s < plan->step_count; s++)
        steps[s] = build_step(compilation, arena, number, s, cuts);
    Program *program = ARENA_NEW(arena, Program);
    *program = (Program){
        .name = arena_copy(arena, compilation->names[number]),
        .steps = steps,
        .step_count = plan->step_count,
        .state_bytes = plan->state_bytes,
        .arena_bytes = plan->arena_bytes,
        .scratch_bytes = plan->scratch_bytes,
        .release = owner_release,
        .owner = owner,
    };
    program->slots = slots_of_plan(arena, plan, &program->slot_count);
    return program;
}

static bool compile_plans(Compilation *compilation, Program **programs, Diags *diags) {
    lower_plans(compilation);
    Owner *owner = owner_create(compilation->count);
    owner->code = cpu_code_create(compilation->kernels.kernels, compilation->kernels.count, compilation->target,
                                  compilation->report, diags);
    if (!owner->code) {
        owner_free(owner);
        return false;
    }
    for (int p = 0; p < compilation->count; p++)
        programs[p] = build_program(compilation, owner, p);
    return true;
}

static bool is_for_processors(const Plan *plan, const char *name, Diags *diags) {
    for (ValueId id = 0; id < plan->value_count; id++) {
        const Value *value = &plan->values[id];
        if (value->dtype != DTYPE_BF16 && value->dtype != DTYPE_F16) continue;
        return diag_error(diags, (Place){0}, "value %u of '%s' is stored in %s: that is a plan for a GPU", id, name,
                          dtype_name(value->dtype));
    }
    for (uint32_t s = 0; s < plan->step_count; s++)
        if (plan->steps[s].form == FORM_SWEEP)
            return diag_error(diags, (Place){0}, "step %u of '%s' is a sweep: that is a plan for a GPU", s, name);
    return true;
}

bool codegen_cpu(const Plan *const *plans, const char *const *names, int count, const Target *target,
                 CodegenReport *report, Program **programs, Diags *diags) {
    for (int i = 0; i < count; i++)
        if (!is_for_processors(plans[i], names[i], diags)) return false;
    Arena *scratch = arena_create();
    Compilation compilation = {.plans = plans,
                               .names = names,
                               .count = count,
                               .target = target,
                               .report = report,
                               .scratch = scratch,
                               .kernels = {.arena = scratch}};
    bool done = count > 0 && compile_plans(&compilation, programs, diags);
    arena_free(scratch);
    return done;
}
