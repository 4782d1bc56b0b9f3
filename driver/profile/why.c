// Sentences: see profile.h. Each is one line `who: text`; who is the metric, the machine, or the framework.
//
// The chain behind them, in which every factor is measured or counted:
//
//     mfu = formula flops / (seconds * peak)
//         = share of the step in products  *  speed of the products / peak  *  formula flops / products' flops
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "driver/explain/explain.h"
#include "driver/profile/profile.h"

enum { MOST_NAMED = 4 };
static const double worth_naming = 0.002;   // of the step
static const double least_gain = 0.005;     // of tokens per second
static const double disturbed_from = 0.1;   // spread

static double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

static const char *machine(const Profile *profile) { return profile->gpu ? "this GPU" : "this machine"; }

// Of milliseconds.
static int digits(const Profile *profile) { return profile->step_seconds < 0.001 ? 4 : 2; }

// ---- the largest of something

typedef struct {
    const char *label, *place;   // place: NULL when it is a sum over places
    double seconds, ideal;       // ideal: seconds at the peak
} Named;

static int compare_named(const void *left, const void *right) {
    double a = ((const Named *)left)->seconds, b = ((const Named *)right)->seconds;
    return (a < b) - (a > b);
}

// Seconds by label of the boxes of one cause, the largest first.
static Named *by_label(const Profile *profile, Cause cause, Arena *arena, size_t *count) {
    Named *named = ARENA_ARRAY(arena, Named, profile->table.count);
    *count = 0;
    for (size_t i = 0; i < profile->table.count; i++) {
        const ProfileBox *box = &profile->table.boxes[i];
        size_t at = 0;
        if (box->cause != cause) continue;
        while (at < *count && !text_equal(named[at].label, box->label)) at++;
        if (at == *count) named[(*count)++].label = box->label;
        named[at].seconds += box->seconds;
    }
    qsort(named, *count, sizeof *named, compare_named);
    return named;
}

// Boxes of products by what they take beyond their time at the peak.
static Named *by_loss(const Profile *profile, Arena *arena, size_t *count) {
    Named *named = ARENA_ARRAY(arena, Named, profile->table.count);
    *count = 0;
    for (size_t i = 0; i < profile->table.count; i++) {
        const ProfileBox *box = &profile->table.boxes[i];
        if (box->cause != CAUSE_CONTRACTION) continue;
        double ideal = box->flops / profile_box_peak(profile, box);
        named[(*count)++] = (Named){box->label, box->place, box->seconds - ideal, ideal};
    }
    qsort(named, *count, sizeof *named, compare_named);
    return named;
}

static void append_labels(const Profile *profile, Cause cause, Text *out) {
    size_t count, shown = 0;
    Named *named = by_label(profile, cause, out->arena, &count);
    for (size_t i = 0; i < count && shown < MOST_NAMED; i++) {
        if (named[i].seconds < worth_naming * profile->step_seconds) break;
        text_append(out, "%s%s %.1f%%", shown++ ? ", " : ": ", named[i].label,
                    percent(named[i].seconds, profile->step_seconds));
    }
}

// ---- the parties

static void metric(const Profile *profile, Text *out) {
    double peak = profile->machine.fma_flops;
    double a100 = profile->formula_flops / profile->step_seconds / NANOGPT_PEAK_FLOPS;
    text_append(out,
                "metric: nanoGPT's mfu divides by 312 TFLOP/s, an A100's bfloat16 peak; %s's %s peak, %s, is %.*f. So "
                "a perfect program would show %.*g%% there. This one shows %.2g%%.\n",
                machine(profile), profile->gpu ? profile->peak_kind : "f32",
                profile->gpu ? "by its datasheet" : "measured", profile->gpu ? 1 : 3, 1e-12 * peak,
                profile->gpu ? 3 : 2, 100 * peak / NANOGPT_PEAK_FLOPS, 100 * a100);
}

static void chain(const Profile *profile, Text *out) {
    double step = profile->step_seconds, peak = profile->machine.fma_flops;
    double products = profile_cause_seconds(profile, CAUSE_CONTRACTION);
    if (products <= 0) return;
    text_append(out,
                "framework: mfu %.1f%% of %s's peak = %.1f%% of the step in products x %.1f%% of the peak in "
                "them x %.2f: nanoGPT's formula counts %.2f GFLOP a step, the products that are done are %.2f.\n",
                percent(profile->formula_flops / step, peak), machine(profile), percent(products, step),
                percent(profile->product_flops / products, peak), profile->formula_flops / profile->product_flops,
                1e-9 * profile->formula_flops, 1e-9 * profile->product_flops);
}

static void losses(const Profile *profile, Text *out) {
    int d = digits(profile);
    double ideal = profile->product_flops / profile->machine.fma_flops;
    double products = profile_cause_seconds(profile, CAUSE_CONTRACTION);
    text_append(out,
                "framework: products at the peak would take %.*f of the %.*f ms. The rest: %.*f for products below the "
                "peak, %.*f pointwise, %.*f memory, %.*f waiting, %.*f data and all else.\n",
                d, 1e3 * ideal, d, 1e3 * profile->step_seconds, d, 1e3 * (products - ideal), d,
                1e3 * profile_cause_seconds(profile, CAUSE_POINTWISE), d,
                1e3 * profile_cause_seconds(profile, CAUSE_MEMORY), d,
                1e3 * profile_cause_seconds(profile, CAUSE_WAITING), d,
                1e3 * (profile->data_seconds + profile_unaccounted(profile)));
}

static void slow_products(const Profile *profile, Text *out) {
    size_t count;
    Named *named = by_loss(profile, out->arena, &count);
    Text text = text_create(out->arena);
    for (size_t i = 0; i < count && i < MOST_NAMED; i++) {
        if (named[i].seconds < worth_naming * profile->step_seconds) break;
        text_append(&text, "%s%s %.*f ms (%.0f%% of the peak)", i ? ", " : "", named[i].place, digits(profile),
                    1e3 * named[i].seconds, percent(named[i].ideal, named[i].seconds + named[i].ideal));
    }
    if (text.length) text_append(out, "framework: products lose most at %s.\n", text_string(&text));
}

// What a library computes, beside Sinter's own kernels.
static void by_library(const Profile *profile, Text *out) {
    double seconds = 0, flops = 0;
    for (size_t i = 0; i < profile->table.count; i++) {
        const ProfileBox *box = &profile->table.boxes[i];
        if (box->engine != ENGINE_BLAS) continue;
        seconds += box->seconds;
        flops += box->flops;
    }
    if (!profile->gpu || seconds <= 0) return;
    text_append(out, "framework: %.1f%% of the step is products by cuBLASLt, at %.1f%% of the peak.\n",
                percent(seconds, profile->step_seconds), percent(flops / seconds, profile->machine.fma_flops));
}

static void rest(const Profile *profile, Cause cause, const char *what, Text *out) {
    double seconds = profile_cause_seconds(profile, cause);
    if (seconds < worth_naming * profile->step_seconds) return;
    text_append(out, "framework: %.1f%% of the step is %s", percent(seconds, profile->step_seconds), what);
    append_labels(profile, cause, out);
    text_append(out, ".\n");
}

static void waiting(const Profile *profile, Text *out) {
    double seconds = profile_cause_seconds(profile, CAUSE_WAITING);
    if (seconds < worth_naming * profile->step_seconds) return;
    const ProfileBox *most = NULL;
    for (size_t i = 0; i < profile->table.count; i++) {
        const ProfileBox *box = &profile->table.boxes[i];
        if (box->wait_seconds > 0 && (!most || box->wait_seconds > most->wait_seconds)) most = box;
    }
    if (profile->gpu) {
        text_append(out, "framework: %.1f%% of the step is waiting: %u launches, %.2f us each before a kernel does "
                         "anything.\n",
                    percent(seconds, profile->step_seconds), profile->launches, 1e6 * profile->launch_seconds);
        return;
    }
    text_append(out, "framework: %.1f%% of the step is waiting: %.1f%% for a thread with more to do or interrupted, "
                     "%.1f%% for barriers and waking",
                percent(seconds, profile->step_seconds), percent(profile->imbalance_seconds, profile->step_seconds),
                percent(profile->barrier_seconds, profile->step_seconds));
    if (most) text_append(out, "; most of it before %s at %s", most->label, most->place);
    text_append(out, ".\n");
}

// The largest of what is not products at their peak.
static void verdict_on_gpu(const Profile *profile, Text *out) {
    double step = profile->step_seconds, waiting = profile_cause_seconds(profile, CAUSE_WAITING);
    double products = profile_cause_seconds(profile, CAUSE_CONTRACTION);
    double others = profile_cause_seconds(profile, CAUSE_POINTWISE) + profile_cause_seconds(profile, CAUSE_MEMORY);
    double lost = products - profile->product_flops / profile->machine.fma_flops;
    if (profile->host_seconds > 0.9 * step)
        text_append(out, "The host keeps the GPU waiting: batches and submitting take %.2f ms a step.\n",
                    1e3 * profile->host_seconds);
    else if (waiting >= lost && waiting >= others)
        text_append(out, "Most of the rest is launches: fewer, fatter kernels, or a larger batch.\n");
    else if (lost >= others)
        text_append(out, "Most of the rest is products below their peak.\n");
    else
        text_append(out, "Most of the rest is what is not products.\n");
}

static void verdict(const Profile *profile, Text *out) {
    double peak = profile->machine.fma_flops, used = profile->product_flops / profile->step_seconds / peak;
    text_append(out, "verdict: products use %.0f%% of %s's peak. ", 100 * used, machine(profile));
    if (profile->gpu) {
        verdict_on_gpu(profile, out);
        return;
    }
    if (used >= 0.6)
        text_append(out,
                    "The framework leaves little of it: a low mfu in nanoGPT's log is the metric's doing, which "
                    "divides by %.0f times this peak.\n",
                    NANOGPT_PEAK_FLOPS / peak);
    else if (profile->spread > disturbed_from)
        text_append(out, "Steps differ too much to blame the framework: other work took a part of this machine.\n");
    else if (profile_cause_seconds(profile, CAUSE_WAITING) > 0.2 * profile->step_seconds)
        text_append(out, "Threads wait for each other: too little to share, or a core that has other work.\n");
    else
        text_append(out, "The framework loses the rest; nanoGPT's log divides by %.0f times this peak, too.\n",
                    NANOGPT_PEAK_FLOPS / peak);
}

static void next_on_gpu(const Profile *profile, Text *out) {
    if (text_equal(profile->peak_kind, "f32"))
        text_append(out, "next: --dtype=bfloat16 or --tf32=True lets products use tensor cores;");
    else if (text_equal(profile->peak_kind, tensor_name(TENSOR_TF32)))
        text_append(out, "next: --dtype=bfloat16 has twice the peak of tf32;");
    else
        text_append(out, "next: products use tensor cores in %s already;", profile->peak_kind);
    text_append(out, " nothing is predicted on a GPU.\n");
}

static void next_step(const Profile *profile, Text *out) {
    if (profile->gpu) {
        next_on_gpu(profile, out);
        return;
    }
    const Prediction *best = profile->prediction_count > 0 ? &profile->predictions[0] : NULL;
    if (best && best->gain >= least_gain)
        text_append(out, "next: %s is predicted to gain %.1f%% in tokens per second (%s).", best->change,
                    100 * best->gain, best->note);
    else
        text_append(out,
                    "next: neither batch, block, threads nor level is predicted to gain %.1f%% in tokens per second.",
                    100 * least_gain);
    text_append(out, " Not dtype: a processor computes in float32.\n");
}

void profile_why(const Profile *profile, Text *out) {
    verdict(profile, out);
    metric(profile, out);
    chain(profile, out);
    losses(profile, out);
    slow_products(profile, out);
    by_library(profile, out);
    rest(profile, CAUSE_POINTWISE, "pointwise", out);
    rest(profile, CAUSE_MEMORY, "memory", out);
    waiting(profile, out);
    next_step(profile, out);
}
