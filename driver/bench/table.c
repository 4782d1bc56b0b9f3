// A bench as text. Every line fits 100 columns.
#include <math.h>
#include <string.h>

#include "driver/bench/bench.h"
#include "driver/explain/explain.h"

enum { NAME_COLUMNS = 24 };

// Milliseconds with four digits or so.
const char *bench_milliseconds(Arena *arena, double seconds) {
    double ms = 1e3 * seconds;
    int digits = ms >= 1000 ? 0 : ms >= 100 ? 1 : ms >= 10 ? 2 : ms >= 0.1 ? 3 : 4;
    return arena_format(arena, "%.*f", digits, ms);
}

static const char *range(Arena *arena, const char *low, const char *high) {
    return arena_format(arena, "%s..%s", low, high);
}

static const char *time_range(Arena *arena, Estimate time) {
    return range(arena, bench_milliseconds(arena, time.low), bench_milliseconds(arena, time.high));
}

static const char *ratio_range(Arena *arena, Estimate ratio) {
    return arena_format(arena, "%.2f..%.2f", ratio.low, ratio.high);
}

static void append_name(Text *out, const Variant *variant) {
    text_append(out, "%-*s", NAME_COLUMNS, explain_fit(out->arena, variant->name, NAME_COLUMNS));
}

double bench_mfu(const Bench *bench, const Variant *variant) {
    return variant->formula_flops / variant->time.median / bench_machine(bench, variant).peak_flops;
}

// ---- times

static void append_times(const Bench *bench, const Variant *variant, Text *out) {
    Arena *arena = out->arena;
    const Variant *base = bench_base(bench, variant);
    bool compares = base && base != variant;
    Estimate speedup = compares ? bench_speedup(bench, variant, base) : (Estimate){0};
    append_name(out, variant);
    text_append(out, " %9s %16s %9.0f %6s %12s %6.2f %6.3f\n", bench_milliseconds(arena, variant->time.median),
                time_range(arena, variant->time), (double)variant->tokens / variant->time.median,
                compares ? arena_format(arena, "%.2f", speedup.median) : "-",
                compares ? ratio_range(arena, speedup) : "-", 100 * bench_mfu(bench, variant),
                100 * variant->formula_flops / variant->time.median / NANOGPT_PEAK_FLOPS);
}

static void append_time_table(const Bench *bench, Text *out) {
    text_append(out, "%-*s %9s %16s %9s %6s %12s %6s %6s\n", NAME_COLUMNS, "variant", "ms/step", "95 % interval",
                "tok/s", "times", "interval", "mfu %", "a100 %");
    for (size_t i = 0; i < bench->variant_count; i++)
        if (bench->variants[i].role == ROLE_LEVEL) append_times(bench, &bench->variants[i], out);
    text_append(out, "\n");
}

// ---- what each of them is

static double worst_error(const Variant *variant) {
    const CheckErrors *errors = &variant->errors;
    return fmax(errors->value.error, fmax(errors->gradient.error, errors->update.error));
}

static void append_facts(const Bench *bench, const Variant *variant, Text *out) {
    Arena *arena = out->arena;
    double planned = variant->state_bytes + variant->arena_bytes + variant->scratch_bytes;
    append_name(out, variant);
    text_append(out, " %6.2f %9.1f %8s %9s %8s %6.2f %7.1e%c %12.9g\n",
                100 * variant->product_flops / variant->time.median / bench_machine(bench, variant).peak_flops,
                1e-6 * planned, variant->on_gpu ? "-" : arena_format(arena, "%.1f", 1e-6 * variant->resident_bytes),
                arena_format(arena, "%u/%u", variant->kernels, variant->distinct_kernels),
                explain_quantity(arena, variant->model_bytes), variant->compile_seconds, worst_error(variant),
                variant->errors.passed ? ' ' : '!', variant->losses[bench->rounds - 1]);
}

static void append_fact_table(const Bench *bench, Text *out) {
    text_append(out, "%-*s %6s %9s %8s %9s %8s %6s %8s %12s\n", NAME_COLUMNS, "variant", "true %", "planned MB",
                "rss MB", "kernels", "bytes", "comp s", "error", "last loss");
    for (size_t i = 0; i < bench->variant_count; i++)
        if (bench->variants[i].role == ROLE_LEVEL) append_facts(bench, &bench->variants[i], out);
    text_append(out, "\n");
}

// ---- ablation

static const char *verdict(const Bench *bench, const Variant *variant, Estimate ratio) {
    if (bench_is_loss(bench, variant)) return "LOSS";
    if (variant->role == ROLE_ONLY) return ratio.high < 1 ? "gains" : ratio.low > 1 ? "loses" : "same";
    return ratio.low > 1 ? "pays" : ratio.high < 1 ? "costs" : "same";
}

static void append_effects(const Bench *bench, const char *title, VariantRole role, Text *out) {
    Arena *arena = out->arena;
    bool begun = false;
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i], *base = bench_base(bench, variant);
        if (variant->role != role || !base) continue;
        if (!begun)
            text_append(out, "%-46s %6s %14s %8s %6s %7s\n", title, "times", "95 % interval", "kernels", "MB", "error");
        begun = true;
        Estimate ratio = bench_slowdown(bench, variant, base);
        text_append(out, "%-46s %6.3f %14s %8s %6.1f %7.1e%c %s\n", explain_fit(arena, variant->name, 46), ratio.median,
                    arena_format(arena, "%.3f..%.3f", ratio.low, ratio.high),
                    arena_format(arena, "%u/%u", variant->kernels, variant->distinct_kernels),
                    1e-6 * (variant->state_bytes + variant->arena_bytes + variant->scratch_bytes), worst_error(variant),
                    variant->errors.passed ? ' ' : '!', verdict(bench, variant, ratio));
    }
    if (begun) text_append(out, "\n");
}

static void append_ablation(const Bench *bench, Text *out) {
    append_effects(bench, "left out: time of a step, by that of all", ROLE_WITHOUT, out);
    append_effects(bench, "none of these made: by that of all", ROLE_BARE, out);
    append_effects(bench, "made alone: by that of all without any", ROLE_ONLY, out);
}

// ---- notes

static void append_losses(const Bench *bench, Text *out) {
    const Variant *main = bench_main(bench);
    size_t like = 0, equal = 0;
    double worst = 0, own = main->losses[bench->rounds - 1];
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i];
        if (variant == main || !bench_same_work(variant, main) || variant->key != main->key) continue;
        double loss = variant->losses[bench->rounds - 1];
        like++;
        equal += loss == own;
        worst = fmax(worst, fabs(loss - own) / fabs(own));
    }
    if (like)
        text_append(out, "last losses: %zu of %zu like %s's bit for bit, largest difference %.1e of it\n", equal, like,
                    main->name, worst);
}

// Visits that begin alike end alike.
static void append_repeats(const Bench *bench, Text *out) {
    if (bench->resident) return;
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i];
        int64_t equal = 0;
        for (int64_t round = 0; round < bench->rounds; round++) equal += variant->losses[round] == variant->losses[0];
        text_append(out, "repeats: %s: %lld visits from the start, %lld of them with the same last loss, bit for bit\n",
                    variant->name, (long long)bench->rounds, (long long)equal);
    }
}

static bool is_first_of_its_work(const Bench *bench, size_t number) {
    for (size_t i = 0; i < number; i++)
        if (bench_same_work(&bench->variants[i], &bench->variants[number])) return false;
    return true;
}

static void append_unlike(const Bench *bench, Text *out) {
    Arena *arena = out->arena;
    const Variant *first = &bench->variants[0];
    for (size_t i = 1; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i];
        if (!is_first_of_its_work(bench, i)) continue;
        explain_wrapped(
            out, 0,
            arena_format(arena,
                         "unlike: %s does other work than %s: %lld tokens and %s flops a step, there %lld and %s, "
                         "so only tokens per second are compared",
                         variant->name, first->name, (long long)variant->tokens,
                         explain_quantity(arena, variant->formula_flops), (long long)first->tokens,
                         explain_quantity(arena, first->formula_flops)),
            ", ");
    }
}

// A GPU beside the processor, level by level.
static void append_devices(const Bench *bench, Text *out) {
    Arena *arena = out->arena;
    bool is_compared = false;
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i], *other = bench_on_processor(bench, variant);
        if (!other) continue;
        Estimate speedup = bench_speedup(bench, variant, other);
        explain_wrapped(out, 0,
                        arena_format(arena, "devices: %s takes %s ms, %s %s: %.4g times as fast (%.4g to %.4g)",
                                     variant->name, bench_milliseconds(arena, variant->time.median), other->name,
                                     bench_milliseconds(arena, other->time.median), speedup.median, speedup.low,
                                     speedup.high),
                        ", ");
        is_compared = true;
    }
    if (is_compared && !text_equal(bench->machine.gpu_kind, "f32"))
        explain_wrapped(out, 0,
                        arena_format(arena,
                                     "unlike: products on the GPU may round their factors to %s, the processor "
                                     "computes in f32",
                                     bench->machine.gpu_kind),
                        ", ");
}

static void append_disturbance(const Bench *bench, Text *out) {
    if (!bench_was_disturbed(bench)) return;
    explain_wrapped(
        out, 0,
        arena_format(out->arena,
                     "busy: other work took %.0f %% of the processors while this was measured, so times are not "
                     "those of a quiet machine",
                     100 * (1 - bench->processor_share)),
        ", ");
}

static void append_machine(const Bench *bench, Text *out) {
    const Machine *machine = &bench->machine;
    const char *forced = strstr(bench->blas, "forced by ");
    double coverage;
    median_rank((size_t)bench->rounds, &coverage);
    explain_wrapped(
        out, 0,
        arena_format(out->arena,
                     "machine: %s, %d threads, %.1f GFLOP/s f32, %.1f GB/s measured, barrier %.0f ns (median)%s%s",
                     machine->cpu, machine->threads, 1e-9 * machine->peak_flops, 1e-9 * machine->read_bandwidth,
                     1e9 * median_of(bench->barriers, (size_t)bench->rounds + 1), forced ? ", OpenBLAS " : "",
                     forced ? forced : ""),
        ", ");
    if (machine->gpu)
        explain_wrapped(out, 0,
                        arena_format(out->arena, "gpu: %s, %.1f TFLOP/s %s, %.0f GB/s by its datasheet", machine->gpu,
                                     1e-12 * machine->gpu_flops, machine->gpu_kind, 1e-9 * machine->gpu_bandwidth),
                        ", ");
    const char *peak = machine->gpu ? "the device's peak" : "this peak";
    const char *const notes[] = {
        arena_format(out->arena,
                     "mfu: nanoGPT's flops against %s, a100: against 312 TFLOP/s, true: flops of products against %s",
                     peak, peak),
        arena_format(out->arena,
                     "intervals: order statistics of %lld rounds' medians (%.1f %%), and the medians of both halves",
                     (long long)bench->rounds, 100 * coverage),
        "times: against op, round by round",
        arena_format(out->arena,
                     "error: worst of values, gradients and updates against float64, %s (! beyond the limits of check)",
                     bench->error_shape),
        "bytes: read and written by boxes, by the model; kernels: all and distinct"};
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
        explain_wrapped(out, 0, notes[i], ", ");
}

const char *bench_headline(Arena *arena, const Bench *bench, const Variant *main, const Variant *base) {
    const char *speed = "";
    if (base && base != main) {
        Estimate speedup = bench_speedup(bench, main, base);
        speed = arena_format(arena, ", %.2f times as fast as %s (%.2f to %.2f)", speedup.median, base->name,
                             speedup.low, speedup.high);
    }
    return arena_format(arena, "%s: %s takes %s ms a step%s, %.1f %% of this %s's peak", bench->model, main->name,
                        bench_milliseconds(arena, main->time.median), speed, 100 * bench_mfu(bench, main),
                        main->on_gpu ? "GPU" : "machine");
}

void bench_table(const Bench *bench, Text *out) {
    const Variant *main = bench_main(bench);
    explain_wrapped(out, 0, bench_headline(out->arena, bench, main, bench_base(bench, main)), ", ");
    text_append(out, "\n");
    append_time_table(bench, out);
    append_fact_table(bench, out);
    append_ablation(bench, out);
    append_losses(bench, out);
    append_repeats(bench, out);
    append_devices(bench, out);
    append_unlike(bench, out);
    append_disturbance(bench, out);
    append_machine(bench, out);
}

// ---- a replay beside its record

static void append_replayed(const Variant *before, const Variant *now, size_t rounds, Text *out) {
    Arena *arena = out->arena;
    bool equal = memcmp(before->losses, now->losses, rounds * sizeof *now->losses) == 0;
    bool within = before->time.low <= now->time.median && now->time.median <= before->time.high &&
                  now->time.low <= before->time.median && before->time.median <= now->time.high;
    append_name(out, now);
    text_append(out, " %9s %15s %9s %15s %6.3f  %-7s %s\n", bench_milliseconds(arena, before->time.median),
                time_range(arena, before->time), bench_milliseconds(arena, now->time.median),
                time_range(arena, now->time), now->time.median / before->time.median, within ? "within" : "outside",
                equal ? "equal" : "DIFFER");
}

static void append_difference(Text *out, const char *what, const char *before, const char *now) {
    if (!text_equal(before, now)) text_append(out, "other %s: %s in the record, %s here\n", what, before, now);
}

bool bench_replay_table(const Bench *before, const Bench *now, Text *out) {
    Arena *arena = out->arena;
    const Machine *a = &before->machine, *b = &now->machine;
    bool equal = true;
    text_append(out, "%-*s %9s %15s %9s %15s %6s  %-7s %s\n", NAME_COLUMNS, "replayed", "before", "interval", "now",
                "interval", "ratio", "medians", "losses");
    for (size_t i = 0; i < now->variant_count; i++) {
        append_replayed(&before->variants[i], &now->variants[i], (size_t)now->rounds, out);
        equal &= memcmp(before->variants[i].losses, now->variants[i].losses, (size_t)now->rounds * sizeof(double)) == 0;
    }
    text_append(out, "\n");
    append_difference(out, "processor", a->cpu, b->cpu);
    append_difference(out, "threads", arena_format(arena, "%d", a->threads), arena_format(arena, "%d", b->threads));
    append_difference(out, "vectors", arena_format(arena, "%d bytes", a->vector_bytes),
                      arena_format(arena, "%d bytes", b->vector_bytes));
    append_difference(out, "caches", arena_format(arena, "%.0f/%.0f/%.0f", a->l1_bytes, a->l2_bytes, a->l3_bytes),
                      arena_format(arena, "%.0f/%.0f/%.0f", b->l1_bytes, b->l2_bytes, b->l3_bytes));
    append_difference(out, "GPU", a->gpu ? a->gpu : "none", b->gpu ? b->gpu : "none");
    append_difference(out, "sinter", before->sinter, now->sinter);
    append_difference(out, "llvm", before->llvm, now->llvm);
    append_difference(out, "blas", before->blas, now->blas);
    if (bench_was_disturbed(before))
        text_append(out, "the machine was busy with other work when the record was made\n");
    text_append(out, "losses: %s\n",
                equal ? "equal to the record's, all of them"
                      : "not the record's: another machine, version or BLAS computes other bits");
    return equal;
}
