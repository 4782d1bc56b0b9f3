// The page of `sinter profile`, at most 100 columns wide, the most important first. See profile.h.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "driver/explain/explain.h"
#include "driver/profile/profile.h"

enum { WHO_COLUMNS = 13, PLACE_COLUMNS = 26 };
static const double folded_below = 0.004, widest_spread = 0.1;   // of the step

static double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

// Milliseconds with the digits that a step of this length has.
static const char *milliseconds(const Profile *profile, Arena *arena, double seconds) {
    double step = profile->step_seconds;
    int digits = step < 0.001 ? 5 : step < 0.1 ? 3 : step < 1 ? 2 : 1;
    return arena_format(arena, "%.*f", digits, 1e3 * seconds);
}

// 77312.4 -> "77,312"
static const char *with_commas(Arena *arena, double value) {
    const char *digits = arena_format(arena, "%.0f", fmin(value, 1e15));
    Text text = text_create(arena);
    for (size_t i = 0, length = strlen(digits); i < length; i++)
        text_append(&text, i > 0 && (length - i) % 3 == 0 ? ",%c" : "%c", digits[i]);
    return text_string(&text);
}

static void print_head(const Profile *profile, Text *out) {
    double step = profile->step_seconds, formula = profile->formula_flops / step;
    text_append(out, step < 0.001 ? "%.4f" : "%.2f", 1e3 * step);
    text_append(out, " ms a training step, %s tok/s: %s at level %s, batch %lld",
                with_commas(out->arena, profile->tokens / step), profile->model, profile->level,
                (long long)profile->batch_size);
    if (profile->accumulation > 1) text_append(out, " x %lld", (long long)profile->accumulation);
    text_append(out, ", block %lld\n", (long long)profile->block_size);
    text_append(out, "mfu %.1f%% of ", percent(formula, profile->machine.fma_flops));
    if (profile->gpu)
        text_append(out, "%s (%.1f TFLOP/s %s, datasheet)", profile->gpu, 1e-12 * profile->machine.fma_flops,
                    profile->peak_kind);
    else
        text_append(out, "this machine (%.0f GFLOP/s f32, %d thread%s, measured)", 1e-9 * profile->machine.fma_flops,
                    profile->machine.threads, profile->machine.threads == 1 ? "" : "s");
    text_append(out, ", %.3f%% of an A100\n\n", percent(formula, NANOGPT_PEAK_FLOPS));
}

static void print_notes(const Profile *profile, Text *out) {
    if (profile->blas_forced) text_append(out, "note: OpenBLAS is %s\n\n", profile->blas_forced);
    if (profile->spread < widest_spread) return;
    text_append(out, "note: the median step took %.0f%% longer than these, the fastest quarter", 100 * profile->spread);
    text_append(out, ": other work on this machine\n\n");
}

// `who: text` lines as two columns; who is said once.
static void print_why(const Profile *profile, Text *out) {
    Text why = text_create(out->arena);
    profile_why(profile, &why);
    const char *before = "";
    for (const char *line = text_string(&why); *line; line += strcspn(line, "\n") + 1) {
        size_t length = strcspn(line, "\n"), who_length = strcspn(line, ":");
        const char *who = arena_copy_range(out->arena, line, who_length);
        size_t start = out->length;
        explain_wrapped(out, WHO_COLUMNS, arena_copy_range(out->arena, line + who_length + 2, length - who_length - 2),
                        " ");
        if (!text_equal(who, before)) memcpy(out->data + start, who, who_length);
        before = who;
    }
}

static void print_predictions(const Profile *profile, Text *out) {
    if (profile->prediction_count == 0) return;
    text_append(out, "\n%-32s %10s %8s %11s\n", "predicted", "tok/s", "gain", "ms a step");
    for (int i = 0; i < profile->prediction_count; i++) {
        const Prediction *row = &profile->predictions[i];
        text_append(out, "%-32s %10s %+7.1f%% %11.2f  %s\n", explain_fit(out->arena, row->change, 32),
                    with_commas(out->arena, row->tokens / row->seconds), 100 * row->gain, 1e3 * row->seconds,
                    row->note);
    }
}

// ---- causes

static void print_cause(const Profile *profile, const char *name, double seconds, const char *sentence, Text *out) {
    text_append(out, "%-12s %9s %7.1f%%  %s\n", name, milliseconds(profile, out->arena, seconds),
                percent(seconds, profile->step_seconds), sentence);
}

// What is not part of every step, spread over the steps between two of it.
static void print_now_and_then(const Profile *profile, const char *name, double seconds, const char *sentence,
                               Text *out) {
    double each = seconds / (double)profile->eval_interval;
    text_append(out, "%-12s %9s %+7.1f%%  %s\n", name,
                arena_format(out->arena, "+%s", milliseconds(profile, out->arena, each)),
                percent(each, profile->step_seconds), sentence);
}

static void print_beside(const Profile *profile, Text *out) {
    Arena *arena = out->arena;
    if (profile->eval_interval <= 0) return;
    if (profile->evaluation_seconds > 0)
        print_now_and_then(profile, "evaluation", profile->evaluation_seconds,
                           arena_format(arena, "beside it: %.2f s every %lld steps", profile->evaluation_seconds,
                                        (long long)profile->eval_interval), out);
    if (profile->checkpoint_seconds > 0)
        print_now_and_then(profile, "checkpoint", profile->checkpoint_seconds,
                           arena_format(arena, "beside it: %.0f ms for %.1f MB, at most once every %lld steps",
                                        1e3 * profile->checkpoint_seconds, 1e-6 * profile->checkpoint_bytes,
                                        (long long)profile->eval_interval), out);
    else
        text_append(out, "%-12s %9s %8s  not measured: %.0f MB\n", "checkpoint", "-", "-",
                    1e-6 * profile->checkpoint_bytes);
}

static const char *sentence_of(const Profile *profile, Cause cause, Arena *arena) {
    if (cause == CAUSE_DATA && profile->data_is_random) return "no token file here: random tokens";
    if (cause == CAUSE_DATA && profile->gpu) return "taken while the GPU works";
    if (cause == CAUSE_WAITING && profile->gpu)
        return arena_format(arena, "%u launches, %.2f us each before a kernel does anything", profile->launches,
                            1e6 * profile->launch_seconds);
    return cause_sentence(cause);
}

static const char *step_sentence(const Profile *profile, Arena *arena) {
    const char *profiled = milliseconds(profile, arena, profile->profiled_seconds);
    double overhead = percent(profile->profiled_seconds - profile->step_seconds, profile->step_seconds);
    if (profile->gpu)
        return arena_format(arena, "launches one by one %s (%+.1f%%); fastest quarter of %d x %d", profiled,
                            overhead, profile->steps, profile->window);
    return arena_format(arena, "with profiling %s (%+.1f%%); fastest quarter of %d steps each", profiled, overhead,
                        profile->steps);
}

static void print_causes(const Profile *profile, Text *out) {
    text_append(out, "\n%-12s %9s %8s\n", "cause", "ms", "share");
    for (Cause cause = 0; cause < CAUSE_COUNT; cause++)
        print_cause(profile, cause_name(cause), profile_cause_seconds(profile, cause),
                    sentence_of(profile, cause, out->arena), out);
    print_cause(profile, "unaccounted", profile_unaccounted(profile),
                profile->gpu ? "the step minus all above: below 0 where kernels overlap"
                             : "the step without profiling minus all above",
                out);
    print_cause(profile, "step", profile->step_seconds, step_sentence(profile, out->arena), out);
    if (profile->gpu)
        print_cause(profile, "host", profile->host_seconds, "beside it: taking batches, submitting runs", out);
    print_beside(profile, out);
}

// ---- boxes

static const char *roof_text(const Profile *profile, const ProfileBox *box, Arena *arena) {
    double compute = box->flops / profile_box_peak(profile, box), roof = profile_roof_seconds(profile, box);
    if (roof > 0 && compute >= roof) return "compute";
    if (box->seconds <= 0 || roof > box->seconds || roof == 0) return "caches";
    return arena_format(arena, "memory %.0f%%", percent(roof, box->seconds));
}

// A stored name that is too long goes without its last word when that is `weight`, as most have it.
static const char *place_text(const ProfileBox *box, Arena *arena) {
    size_t length = strlen(box->place), ending = strlen(".weight");
    bool drop = length > PLACE_COLUMNS && text_equal(box->place + length - ending, ".weight");
    const char *place = drop ? arena_copy_range(arena, box->place, length - ending) : box->place;
    return explain_fit(arena, place, PLACE_COLUMNS);
}

static void print_box(const Profile *profile, const ProfileBox *box, Text *out) {
    Arena *arena = out->arena;
    const char *library = profile->gpu ? ", cublaslt" : " by blas";
    const char *label = box->engine == ENGINE_BLAS ? arena_format(arena, "%s%s", box->label, library) : box->label;
    double rate = box->seconds > 0 ? box->flops / box->seconds : 0;
    double shown = (profile->gpu ? 1e-12 : 1e-9) * rate;
    text_append(out, "%-18s %-*s %7s %5.1f %5s %5s %5.1f %5.*f %3.0f%%  %s\n", explain_fit(arena, label, 18),
                PLACE_COLUMNS, place_text(box, arena), milliseconds(profile, arena, box->seconds),
                percent(box->seconds, profile->step_seconds), explain_quantity(arena, box->flops),
                explain_quantity(arena, box->bytes), box->bytes > 0 ? box->flops / box->bytes : 0,
                profile->gpu && shown < 99 ? 2 : 0, shown, percent(rate, profile_box_peak(profile, box)),
                roof_text(profile, box, arena));
}

static int compare_boxes(const void *left, const void *right) {
    const ProfileBox *a = *(const ProfileBox *const *)left, *b = *(const ProfileBox *const *)right;
    if (a->seconds != b->seconds) return a->seconds < b->seconds ? 1 : -1;
    return a < b ? -1 : a > b;   // the order of the data
}

static void print_boxes(const Profile *profile, bool every_box, Text *out) {
    size_t count = profile->table.count, more = 0;
    const ProfileBox **order = ARENA_ARRAY(out->arena, const ProfileBox *, count);
    for (size_t i = 0; i < count; i++) order[i] = &profile->table.boxes[i];
    qsort(order, count, sizeof *order, compare_boxes);
    text_append(out, "\n%-18s %-*s %7s %5s %5s %5s %5s %5s %4s  %s\n", "box", PLACE_COLUMNS, "place", "ms", "%",
                "flops", "bytes", "fl/B", profile->gpu ? "TF/s" : "GF/s", "peak", "roof");
    double rest = 0;
    for (size_t i = 0; i < count; i++) {
        if (every_box || order[i]->seconds >= folded_below * profile->step_seconds) {
            print_box(profile, order[i], out);
            continue;
        }
        rest += order[i]->seconds;
        more++;
    }
    if (more)
        text_append(out, "%-18s %-*s %7s %5.1f\n", arena_format(out->arena, "%zu more boxes", more), PLACE_COLUMNS,
                    "(--full lists them)", milliseconds(profile, out->arena, rest),
                    percent(rest, profile->step_seconds));
    if (profile->gpu)
        text_append(out,
                    "\nms: one kernel after the other, beyond what a launch takes. peak: of what a box computes with, "
                    "f32\nor tensor cores. roof: what bounds a box: that peak; memory, at %.0f GB/s; or neither: "
                    "caches.\n",
                    1e-9 * profile->machine.read_bandwidth);
    else
        text_append(out,
                "\nms: of all threads / threads. peak: of %.0f GFLOP/s. roof: what bounds a box: that peak; memory, "
                "at\n%.1f GB/s for bytes outside of scratch memory; or neither: all it reads is in caches.\n",
                1e-9 * profile->machine.fma_flops, 1e-9 * profile->machine.read_bandwidth);
}

void profile_print(const Profile *profile, bool every_box, Text *out) {
    print_head(profile, out);
    print_notes(profile, out);
    print_why(profile, out);
    print_predictions(profile, out);
    print_causes(profile, out);
    print_boxes(profile, every_box, out);
}
