// Which variants may be compared, and how they compare.
#include <string.h>

#include "base/hash.h"
#include "driver/bench/bench.h"

// How much faster a step must be without a decision to call the decision a loss. Among dozens of rows some
// ratios stray by chance: so neither may the intervals of both times overlap.
static const double loss_limit = 0.98;

bool bench_same_work(const Variant *a, const Variant *b) {
    return a->tokens == b->tokens && a->parameters == b->parameters && a->formula_flops == b->formula_flops;
}

double bench_visit_seconds(const Variant *variant, const double *seconds, size_t steps) {
    if (!variant->on_gpu) return median_of(seconds, steps);
    double sum = 0;
    for (size_t i = 0; i < steps; i++) sum += seconds[i];
    return sum / (double)steps;
}

Machine bench_machine(const Bench *bench, const Variant *variant) {
    Machine machine = bench->machine;
    if (!variant->on_gpu) return machine;
    machine.peak_flops = machine.gpu_flops;
    machine.read_bandwidth = machine.gpu_bandwidth;
    return machine;
}

static bool same_setting(const Variant *a, const Variant *b) {
    return a->key == b->key ? a->value == b->value
                            : a->key && b->key && text_equal(a->key, b->key) && text_equal(a->value, b->value);
}

static const Variant *find_level(const Bench *bench, const Variant *beside, FuseLevel level) {
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i];
        if (variant->role == ROLE_LEVEL && variant->fuse == level && variant->on_gpu == beside->on_gpu &&
            same_setting(variant, beside) && bench_same_work(variant, beside))
            return variant;
    }
    return NULL;
}

static const Variant *find_bare(const Bench *bench) {
    for (size_t i = 0; i < bench->variant_count; i++)
        if (bench->variants[i].role == ROLE_BARE) return &bench->variants[i];
    return NULL;
}

const Variant *bench_base(const Bench *bench, const Variant *variant) {
    if (variant->role == ROLE_ONLY) return find_bare(bench);
    if (variant->role != ROLE_LEVEL) return find_level(bench, variant, FUSE_ALL);
    const Variant *base = find_level(bench, variant, FUSE_OP);
    if (!base) base = find_level(bench, variant, FUSE_NONE);
    if (base) return base;
    // A sweep of one level: against its first setting that does the same work.
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *first = &bench->variants[i];
        if (first->role == ROLE_LEVEL && first->on_gpu == variant->on_gpu && bench_same_work(first, variant))
            return first;
    }
    return NULL;
}

static const double *base_visits(const Variant *variant, const Variant *base) {
    return variant->paired ? variant->paired : base->visits;
}

Estimate bench_speedup(const Bench *bench, const Variant *variant, const Variant *base) {
    return estimate_ratio(base_visits(variant, base), variant->visits, (size_t)bench->rounds);
}

Estimate bench_slowdown(const Bench *bench, const Variant *variant, const Variant *base) {
    return estimate_ratio(variant->visits, base_visits(variant, base), (size_t)bench->rounds);
}

bool bench_is_loss(const Bench *bench, const Variant *variant) {
    if (variant->role != ROLE_WITHOUT) return false;
    const Variant *base = bench_base(bench, variant);
    if (!base) return false;
    Estimate ratio = bench_slowdown(bench, variant, base);
    Estimate beside = estimate_median(base_visits(variant, base), (size_t)bench->rounds);
    return ratio.median < loss_limit && ratio.high < 1 && !estimates_overlap(variant->time, beside);
}

// Threads of the pool spin while they wait, so a process alone on the machine gets all of its threads' time but for
// what the start of a visit costs.
bool bench_was_disturbed(const Bench *bench) {
    return bench->processor_share < 0.9;
}

// "cuda all tuned" -> "all tuned"
static const char *without_device(const Variant *variant) {
    const char *device = variant->on_gpu ? "cuda " : "cpu ", *at = strstr(variant->name, device);
    return at ? at + strlen(device) : variant->name;
}

const Variant *bench_on_processor(const Bench *bench, const Variant *variant) {
    for (size_t i = 0; i < bench->variant_count && variant->on_gpu && variant->role == ROLE_LEVEL; i++) {
        const Variant *other = &bench->variants[i];
        if (other->role == ROLE_LEVEL && !other->on_gpu && text_equal(without_device(other), without_device(variant)) &&
            same_setting(other, variant) && bench_same_work(other, variant))
            return other;
    }
    return NULL;
}

const Variant *bench_main(const Bench *bench) {
    for (int on_gpu = 1; on_gpu >= 0; on_gpu--)
        for (size_t i = 0; i < bench->variant_count; i++) {
            const Variant *variant = &bench->variants[i];
            if (variant->role == ROLE_LEVEL && variant->fuse == FUSE_ALL && variant->on_gpu == (bool)on_gpu)
                return variant;
        }
    return bench->variant_count ? &bench->variants[0] : NULL;
}

const char *bench_hash(Arena *arena, const char *text) {
    return arena_format(arena, "%016llx", hash_text(text));
}
