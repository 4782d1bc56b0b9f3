// The door of codegen/cuda: Plans in, source text and launches out.
//
// In: the plans of one model. Each step is lowered to a tile program; equal ones become one kernel for all layers and
// programs, and are printed once. Out: kernels, and per plan its launches in order, each with what it waits for:
//
//     step 7 row "layernorm" in %1, %2 out %3   ->   launch 7: kernel row_layernorm_81f3, 96 blocks, b0 b1 b2, after 6
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "codegen/cuda/chain.h"
#include "codegen/cuda/library.h"
#include "codegen/cuda/sweep.h"
#include "codegen/link.h"

// A product and a sum are two roundings; division, roots and subnormals as IEEE 754 has them.
const char *const cuda_compile_options[] = {"--fmad=false", "--prec-div=true", "--prec-sqrt=true", "--ftz=false", NULL};
const char *const cuda_early_options[] = {"--fmad=false", "--prec-div=true",
                                          "--prec-sqrt=true", "--ftz=false",
                                          "--define-macro=BEGINS_EARLY", NULL};

enum { LANES = TILE_LANES, MOST_THREADS = 128, LEAST_THREADS = 32, RESIDENT_THREADS = 2048, WAVES = 4 };

typedef struct {
    CudaCode *code;
    const Plan *const *plans;
    const char *const *names;
    const Target *target;
    CudaReport *report;
    Arena *scratch;
    CudaKernel *kernels;
    Spread *spreads;          // by kernel
    double *units;            // by kernel: seconds of one
    size_t kernel_capacity, spread_capacity, unit_capacity;
    const char *refused;      // a step that is planned for a processor
} Printing;

// ---- kernels

// Few workers are in many small blocks, so that all multiprocessors have some.
static uint32_t block_threads(const Spread *spread, const TileProgram *program, const Target *target) {
    int64_t threads = spread->units * LANES, block = MOST_THREADS;
    if (spread->kind == SPREAD_TENSOR) return (uint32_t)tensor_of(program).threads;
    if (spread->units == 1) return LANES;
    while (block > LEAST_THREADS && threads / block < target->cores) block /= 2;
    return (uint32_t)block;
}

// As many as have something to do, but no more than a few times what fits at once: workers take several rounds then.
// Those whose factors boxes bring take tile after tile: one on each multiprocessor, which has no room for two.
static uint32_t launch_blocks(const Spread *spread, const CudaKernel *kernel, const Target *target) {
    uint32_t threads = kernel->threads;
    bool is_persistent = kernel->map_count > 0 && spread->units > target->cores;
    if (spread->kind == SPREAD_TENSOR) return is_persistent ? (uint32_t)target->cores : (uint32_t)spread->units;
    int64_t needed = (spread->units * LANES + threads - 1) / threads;
    int64_t most = (int64_t)target->cores * (RESIDENT_THREADS / threads) * WAVES;
    return (uint32_t)(needed < most ? needed : most);
}

static uint32_t find_kernel(const CudaCode *code, const char *symbol) {
    for (uint32_t i = 0; i < code->kernel_count; i++)
        if (text_equal(code->kernels[i].name, symbol)) return i;
    return code->kernel_count;
}

static const CudaBuffer *buffers_of(Arena *arena, const TileProgram *program) {
    CudaBuffer *buffers = ARENA_ARRAY(arena, CudaBuffer, program->buffer_count + 1);
    for (uint32_t b = 0; b < program->buffer_count; b++) {
        const TileBuffer *buffer = &program->buffers[b];
        buffers[b] =
            (CudaBuffer){.bytes = (size_t)buffer->elements * dtype_bytes(buffer->dtype), .written = buffer->written};
    }
    bool *stored = ARENA_ARRAY(arena, bool, program->buffer_count + 1);
    for (uint32_t i = 0; i < program->op_count; i++) {
        const TileOp *op = &program->ops[i];
        bool adds = op->kind == TILE_SCATTER_ADD && !stored[op->buffer];   // else to what it has written itself
        if (op->kind == TILE_LOAD || adds) buffers[op->buffer].read = true;
        if (op->kind == TILE_STORE) stored[op->buffer] = true;
    }
    return buffers;
}

static const CudaMap *maps_of(Arena *arena, const TileProgram *program) {
    CudaMap *maps = ARENA_ARRAY(arena, CudaMap, 2);
    BoxPanel panels[2];
    box_panels(program, panels);
    for (int p = 0; p < 2; p++) maps[p] = panels[p].map;
    return maps;
}

static void check_program(const Printing *printing, const TileProgram *program) {
    const char *unsound = tile_verify(program, printing->scratch);
    if (unsound) BUG("tile program %s: %s", program->name, unsound);
    if (printing->report->tiles) tile_print(program, printing->report->tiles);
}

static CudaKernel *new_kernel(Printing *printing) {
    CudaCode *code = printing->code;
    size_t count = code->kernel_count + 1;
    printing->kernels =
        arena_grow(code->arena, printing->kernels, &printing->kernel_capacity, count, sizeof(CudaKernel));
    printing->spreads =
        arena_grow(printing->scratch, printing->spreads, &printing->spread_capacity, count, sizeof(Spread));
    printing->units = arena_grow(printing->scratch, printing->units, &printing->unit_capacity, count, sizeof(double));
    printing->units[count - 1] = 0;
    code->kernels = printing->kernels;
    return &printing->kernels[code->kernel_count++];
}

static void add_kernel(Printing *printing, const TileProgram *program, const bool *aliased, const char *symbol) {
    CudaCode *code = printing->code;
    check_program(printing, program);
    double start = clock_seconds();
    CudaKernel *kernel = new_kernel(printing);
    Spread *spread = &printing->spreads[kernel - printing->kernels];
    *spread = spread_of(program, aliased, printing->scratch);
    printing->units[kernel - printing->kernels] = unit_seconds(program, spread, printing->scratch);
    *kernel = (CudaKernel){.name = arena_copy(code->arena, symbol),
                           .buffer_count = program->buffer_count,
                           .buffers = buffers_of(code->arena, program),
                           .threads = block_threads(spread, program, printing->target),
                           .shared_bytes = spread->kind == SPREAD_TENSOR ? tensor_shared_bytes(program) : 0};
    if (program->tensor.wgmma) {
        kernel->map_count = 2;
        kernel->maps = maps_of(code->arena, program);
    }
    kernel->text = print_kernel(code->arena, program, aliased, kernel->name, spread);
    printing->report->print_seconds += clock_seconds() - start;
}

static void add_chain(Printing *printing, const ChainKernel *chain) {
    Arena *arena = printing->code->arena;
    for (uint32_t i = 0; i < chain->part_count; i++) check_program(printing, chain->parts[i].program);
    double start = clock_seconds();
    CudaBuffer *buffers = ARENA_ARRAY(arena, CudaBuffer, chain->parameter_count + 1);
    for (uint32_t i = 0; i < chain->parameter_count; i++) {
        const ChainParameter *parameter = &chain->parameters[i];
        buffers[i] = (CudaBuffer){.bytes = (size_t)parameter->elements * dtype_bytes(parameter->dtype),
                                  .read = parameter->read,
                                  .written = parameter->written};
    }
    *new_kernel(printing) = (CudaKernel){.name = arena_copy(arena, chain->symbol),
                                         .text = print_chain(arena, chain),
                                         .buffer_count = chain->parameter_count,
                                         .buffers = buffers,
                                         .threads = chain->threads,
                                         .shared_bytes = chain->shared_bytes};
    printing->report->print_seconds += clock_seconds() - start;
}

static void add_sweep(Printing *printing, const SweepProgram *sweep, const bool *aliased, const char *symbol) {
    Arena *arena = printing->code->arena;
    check_program(printing, sweep->tile);
    for (int k = 0; k < sweep->sweeping.outer_count; k++) check_program(printing, sweep->ends[k]);
    double start = clock_seconds();
    uint32_t count = tile_given(sweep->tile);
    CudaBuffer *buffers = ARENA_ARRAY(arena, CudaBuffer, count + 1);
    for (uint32_t b = 0; b < count; b++) {
        const TileBuffer *buffer = &sweep->tile->buffers[b];
        buffers[b] = (CudaBuffer){.bytes = (size_t)buffer->elements * dtype_bytes(buffer->dtype),
                                  .read = !buffer->written,
                                  .written = buffer->written};
    }
    SweepShape shape = sweep_shape(sweep);
    CudaKernel *kernel = new_kernel(printing);
    *kernel = (CudaKernel){.name = arena_copy(arena, symbol),
                           .buffer_count = count,
                           .buffers = buffers,
                           .threads = (uint32_t)shape.threads,
                           .shared_bytes = shape.shared_bytes};
    kernel->text = print_sweep(arena, sweep, aliased, kernel->name);
    printing->report->print_seconds += clock_seconds() - start;
}

// Its kernel, and how many blocks of it.
static uint32_t kernel_of_sweep(Printing *printing, const Plan *plan, const Step *step, uint32_t *blocks) {
    double start = clock_seconds();
    const SweepProgram *sweep = tile_lower_sweep(printing->scratch, plan, step, printing->target);
    const bool *aliased = step_aliased(printing->scratch, plan, step);
    const char *symbol = sweep_symbol(printing->scratch, sweep, aliased);
    *blocks = (uint32_t)sweep_shape(sweep).blocks;
    printing->report->lower_seconds += clock_seconds() - start;
    printing->report->kernels++;
    uint32_t number = find_kernel(printing->code, symbol);
    if (number == printing->code->kernel_count) add_sweep(printing, sweep, aliased, symbol);
    return number;
}

static uint32_t kernel_of_step(Printing *printing, const Plan *plan, const Step *step) {
    double start = clock_seconds();
    bool is_tensor = step->tensor.kind != TENSOR_NONE;
    const TileProgram *program = is_tensor ? tile_lower_tensor(printing->scratch, plan, step, printing->target)
                                           : tile_lower(printing->scratch, plan, step, printing->target);
    const bool *aliased = step_aliased(printing->scratch, plan, step);
    const char *symbol = kernel_symbol(printing->scratch, program, aliased);
    printing->report->lower_seconds += clock_seconds() - start;
    printing->report->kernels++;
    if (tile_given(program) < program->buffer_count) printing->refused = step_title(printing->scratch, step);
    uint32_t number = find_kernel(printing->code, symbol);
    if (number == printing->code->kernel_count) add_kernel(printing, program, aliased, symbol);
    return number;
}

// ---- launches

// Whether step `b` has to wait for `a`: one writes what the other reads or writes, or both use the workspace. What lies
// in shared memory is a block's own.
static bool meet(const Plan *plan, const Step *a, const Step *b) {
    if (a->engine == ENGINE_BLAS && b->engine == ENGINE_BLAS) return true;
    uint32_t a_count = a->operand_count + a->output_count, b_count = b->operand_count + b->output_count;
    for (uint32_t i = 0; i < a_count; i++)
        for (uint32_t k = 0; k < b_count; k++) {
            if (i < a->operand_count && k < b->operand_count) continue;
            const Value *x = &plan->values[step_buffer_value(a, i)], *y = &plan->values[step_buffer_value(b, k)];
            if (x->space == SPACE_SCRATCH) continue;
            if (x->space == y->space && x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes)
                return true;
        }
    return false;
}

// The steps of a plan as launches: each one, or a chain of them, is one.
typedef struct {
    uint32_t *first;               // by launch: its first step; behind the last one the number of all steps
    uint32_t count;
} Order;

static Order order_of(Arena *arena, const Plan *plan) {
    Order order = {.first = ARENA_ARRAY(arena, uint32_t, plan->step_count + 1)};
    for (uint32_t s = 0; s < plan->step_count; s = plan_strand_end(plan, s)) order.first[order.count++] = s;
    order.first[order.count] = plan->step_count;
    return order;
}

static bool launches_meet(const Plan *plan, const Order *order, uint32_t a, uint32_t b) {
    for (uint32_t i = order->first[a]; i < order->first[a + 1]; i++)
        for (uint32_t k = order->first[b]; k < order->first[b + 1]; k++)
            if (meet(plan, &plan->steps[i], &plan->steps[k])) return true;
    return false;
}

// The last launches before `n` that it meets, without those that these have waited for. `reached` has a row for each
// launch: those that are over when it begins.
static void find_after(const Plan *plan, const Order *order, uint32_t n, uint64_t *reached, size_t words,
                       uint32_t *after, uint32_t *count) {
    uint64_t *mine = &reached[n * words];
    for (uint32_t t = n; t-- > 0;) {
        if (mine[t / 64] >> t % 64 & 1 || !launches_meet(plan, order, t, n)) continue;
        after[(*count)++] = t;
        mine[t / 64] |= (uint64_t)1 << t % 64;
        for (size_t w = 0; w < words; w++) mine[w] |= reached[t * words + w];
    }
}

// A kernel and how many blocks of it, or a library's product.
static void choose_kernel(Printing *printing, const Plan *plan, const Step *step, CudaLaunch *launch) {
    if (step->engine == ENGINE_BLAS) {
        launch->product = cuda_product_of(printing->code->arena, plan, step);
        return;
    }
    if (step->form == FORM_SWEEP) {
        launch->kernel = kernel_of_sweep(printing, plan, step, &launch->blocks);
        return;
    }
    uint32_t kernel = kernel_of_step(printing, plan, step);
    launch->kernel = kernel;
    const Spread *spread = &printing->spreads[kernel];
    launch->blocks = launch_blocks(spread, &printing->kernels[kernel], printing->target);
    double workers = (double)launch->blocks * printing->kernels[kernel].threads / LANES;
    launch->serial_seconds = ceil((double)spread->units / workers) * printing->units[kernel];
}

static CudaLaunch launch_of_step(Printing *printing, const Plan *plan, uint32_t s) {
    const Step *step = &plan->steps[s];
    uint32_t buffers;
    CudaLaunch launch = {.kernel = CUDA_NO_KERNEL,
                         .buffers = step_buffers(printing->code->arena, plan, step, &buffers),
                         .id = s,
                         .label = step_title(printing->code->arena, step),
                         .flops = step->flops,
                         .bytes = step->bytes};
    choose_kernel(printing, plan, step, &launch);
    return launch;
}

// "chain softmax layer[0].p": of the step behind the first one, which reads what is too large for memory's good.
static CudaLaunch launch_of_chain(Printing *printing, const Plan *plan, uint32_t first, uint32_t end) {
    Arena *arena = printing->code->arena;
    double start = clock_seconds();
    const ChainKernel *chain = chain_kernel(printing->scratch, plan, first, end, printing->target);
    printing->report->lower_seconds += clock_seconds() - start;
    printing->report->kernels++;
    uint32_t number = find_kernel(printing->code, chain->symbol);
    if (number == printing->code->kernel_count) add_chain(printing, chain);
    ProgramBuffer *buffers = ARENA_ARRAY(arena, ProgramBuffer, chain->parameter_count + 1);
    CudaLaunch launch = {.kernel = number,
                         .blocks = chain->blocks,
                         .buffers = buffers,
                         .id = first,
                         .label = arena_format(arena, "chain %s", step_title(arena, &plan->steps[first + 1]))};
    for (uint32_t i = 0; i < chain->parameter_count; i++) {
        buffers[i] = chain->parameters[i].place;
        launch.bytes += chain->parameters[i].traffic;
    }
    for (uint32_t s = first; s < end; s++) launch.flops += plan->steps[s].flops;
    return launch;
}

static CudaLaunch *launches_of(Printing *printing, const Plan *plan, uint32_t *count) {
    Arena *arena = printing->code->arena;
    Order order = order_of(printing->scratch, plan);
    CudaLaunch *launches = ARENA_ARRAY(arena, CudaLaunch, order.count + 1);
    size_t words = order.count / 64 + 1;
    uint64_t *reached = ARENA_ARRAY(printing->scratch, uint64_t, order.count * words + 1);
    for (uint32_t n = 0; n < order.count; n++) {
        uint32_t first = order.first[n], end = order.first[n + 1];
        CudaLaunch *launch = &launches[n];
        *launch = end == first + 1 ? launch_of_step(printing, plan, first)
                                   : launch_of_chain(printing, plan, first, end);
        uint32_t *after = ARENA_ARRAY(printing->scratch, uint32_t, n + 1);
        find_after(plan, &order, n, reached, words, after, &launch->after_count);
        uint32_t *kept = ARENA_ARRAY(arena, uint32_t, launch->after_count + 1);
        memcpy(kept, after, launch->after_count * sizeof *after);
        launch->after = kept;
    }
    *count = order.count;
    return launches;
}

// ---- the door

// A chain in ranges is a kernel, and so is a sum of which each piece, or a block of tensor cores, has a part; other
// strands are for the threads of a processor.
static bool is_for_threads(const Plan *plan, uint32_t s) {
    const Step *step = &plan->steps[s];
    CutRanges ranges;
    if (step->cut.groups == 0) return plan_in_strand(plan, s);
    if (!plan_in_strand(plan, s)) return step->tensor.kind == TENSOR_NONE && step->cut.groups != step->cut.pieces;
    return step->chained || !cut_in_ranges(plan->dims, &step->cut, &ranges);
}

static bool is_printable(const Plan *plan, const char *name, const Target *target, Diags *diags) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
        bool is_strand = is_for_threads(plan, s), has_library = plan->workspace_bytes > 0;
        if ((plan->steps[s].engine == ENGINE_TILES || has_library) && !is_strand) continue;
        return diag_error(diags, (Place){0},
                          "step %u of '%s' is planned for a processor (%s); plans for CUDA need a target with a GPU",
                          s, name, is_strand ? "strands" : "openblas");
    }
    if ((double)plan->scratch_bytes <= target->l1_bytes) return true;
    return diag_error(diags, (Place){0}, "chains of '%s' need %zu bytes of shared memory; %s has %.0f", name,
                      plan->scratch_bytes, target->gpu, target->l1_bytes);
}

static CudaProgram program_of(Printing *printing, int number) {
    const Plan *plan = printing->plans[number];
    Arena *arena = printing->code->arena;
    CudaProgram program = {.name = arena_copy(arena, printing->names[number]),
                           .state_bytes = plan->state_bytes,
                           .arena_bytes = plan->arena_bytes,
                           .is_persistent = plan->is_persistent,
                           .workspace_offset = plan->arena_bytes - plan->workspace_bytes,
                           .workspace_bytes = plan->workspace_bytes};
    program.launches = launches_of(printing, plan, &program.launch_count);
    program.slots = slots_of_plan(arena, plan, &program.slot_count);
    return program;
}

static bool any_wgmma(const Plan *const *plans, int count) {
    for (int i = 0; i < count; i++)
        for (uint32_t s = 0; s < plans[i]->step_count; s++)
            if (plans[i]->steps[s].tensor.wgmma) return true;
    return false;
}

CudaCode *codegen_cuda(const Plan *const *plans, const char *const *names, int count, const Target *target,
                       CudaReport *report, Diags *diags) {
    for (int i = 0; i < count; i++)
        if (!is_printable(plans[i], names[i], target, diags)) return NULL;
    Arena *arena = arena_create();
    CudaReport unread = {0};
    CudaCode *code = ARENA_NEW(arena, CudaCode);
    const char *common = arena_format(arena,
                                      "%s%s#define HALF(name) name##_bf16\n%s#undef HALF\n"
                                      "#define HALF(name) name##_f16\n%s#undef HALF\n",
                                      cuda_common(), cuda_tensor(), cuda_halves(), cuda_halves());
    if (any_wgmma(plans, count)) common = arena_format(arena, "%s%s", common, cuda_warpgroup());
    *code = (CudaCode){.arena = arena, .common = common, .program_count = count};
    Printing printing = {.code = code,
                         .plans = plans,
                         .names = names,
                         .target = target,
                         .report = report ? report : &unread,
                         .scratch = arena_create()};
    CudaProgram *programs = ARENA_ARRAY(arena, CudaProgram, (size_t)count);
    for (int i = 0; i < count; i++) programs[i] = program_of(&printing, i);
    code->programs = programs;
    printing.report->distinct_kernels += code->kernel_count;
    if (printing.refused) {
        diag_error(diags, (Place){0},
                   "step %s is planned for a processor (sums in an epilogue); plans for CUDA need a target with a GPU",
                   printing.refused);
        cuda_code_free(code);
        code = NULL;
    }
    arena_free(printing.scratch);
    return code;
}

void cuda_code_free(CudaCode *code) {
    if (code) arena_free(code->arena);
}

void cuda_kernels_source(const CudaCode *code, uint32_t first, uint32_t count, Text *out) {
    for (uint32_t i = first; i < first + count; i++) {
        text_append(out, "\n");
        kernel_append(&code->kernels[i], out);
    }
}

void cuda_source(const CudaCode *code, uint32_t first, uint32_t count, Text *out) {
    text_append(out, "%s", code->common);
    cuda_kernels_source(code, first, count, out);
}
