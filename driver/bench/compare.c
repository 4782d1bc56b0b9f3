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

static bool same_setting(const Variant *a, const Variant *b) {
    return a->key == b->key ? a->value == b->value
                            : a->key && b->key && text_equal(a->key, b->key) && text_equal(a->value, b->value);
}

static const Variant *find_level(const Bench *bench, const Variant *beside, FuseLevel level) {
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i];
        if (variant->role == ROLE_LEVEL && variant->fuse == level && same_setting(variant, beside) &&
            bench_same_work(variant, beside))
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
    for (size_t i = 0; i < bench->variant_count; i++)
        if (bench->variants[i].role == ROLE_LEVEL && bench_same_work(&bench->variants[i], variant))
            return &bench->variants[i];
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

const Variant *bench_main(const Bench *bench) {
    for (size_t i = 0; i < bench->variant_count; i++)
        if (bench->variants[i].role == ROLE_LEVEL && bench->variants[i].fuse == FUSE_ALL) return &bench->variants[i];
    return bench->variant_count ? &bench->variants[0] : NULL;
}

const char *bench_hash(Arena *arena, const char *text) {
    return arena_format(arena, "%016llx", hash_text(text));
}
