// A bench as one page of HTML: it needs nothing but itself, no scripts, no network.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "driver/bench/page.h"
#include "driver/explain/explain.h"

enum { LISTED_BOXES = 12 };

static void paragraph(Text *out, const char *class, const char *text) {
    text_append(out, "<p class=\"%s\">", class);
    page_escaped(out, text);
    text_append(out, "</p>\n");
}

static void open_section(Text *out, const char *title, const char *sentence) {
    text_append(out, "<section>\n<h2>");
    page_escaped(out, title);
    text_append(out, "</h2>\n");
    if (sentence) paragraph(out, "lead", sentence);
}

static void close_section(Text *out) {
    text_append(out, "</section>\n");
}

static void cell(Text *out, const char *text) {
    text_append(out, "<td>");
    page_escaped(out, text);
    text_append(out, "</td>");
}

static void heads(Text *out, const char *const *names, size_t count) {
    text_append(out, "<tr>");
    for (size_t i = 0; i < count; i++)
        text_append(out, "<th>%s</th>", names[i]);
    text_append(out, "</tr>\n");
}

// ---- the head of the page

static void append_head(Text *out, const Bench *bench) {
    text_append(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
                     "<link rel=\"icon\" href=\"data:,\"/>\n<title>");
    page_escaped(out, arena_format(out->arena, "sinter bench: %s", bench->model));
    text_append(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", page_style());
}

static void append_headline(Text *out, const Bench *bench) {
    Arena *arena = out->arena;
    const Variant *main = bench_main(bench);
    text_append(out, "<h1>");
    page_escaped(out, bench_headline(arena, bench, main, bench_base(bench, main)));
    text_append(out, ".</h1>\n");
    paragraph(out, "about",
              arena_format(
                  arena, "%s parameters, %lld tokens a step, %s flops a step by nanoGPT's formula. %s, %d threads. %s.",
                  explain_quantity(arena, main->parameters), (long long)main->tokens,
                  explain_quantity(arena, main->formula_flops), bench->machine.cpu, bench->machine.threads,
                  bench->when));
    if (bench->machine.gpu) paragraph(out, "about", arena_format(arena, "GPU: %s.", bench->machine.gpu));
    if (bench_was_disturbed(bench))
        paragraph(out, "bad",
                  arena_format(arena,
                               "Other work took %.0f %% of the processors while this was measured: times are "
                               "not those of a quiet machine.",
                               100 * (1 - bench->processor_share)));
}

// ---- times

static bool all_alike(const Bench *bench) {
    for (size_t i = 1; i < bench->variant_count; i++)
        if (!bench_same_work(&bench->variants[0], &bench->variants[i])) return false;
    return true;
}

// What the bars show: milliseconds, or tokens a second where variants do unlike work.
static Estimate shown(const Variant *variant, bool alike) {
    Estimate time = variant->time;
    double tokens = (double)variant->tokens;
    if (alike) return (Estimate){1e3 * time.median, 1e3 * time.low, 1e3 * time.high, time.count};
    return (Estimate){tokens / time.median, tokens / time.high, tokens / time.low, time.count};
}

static void append_bar(Text *out, const Bench *bench, const Variant *variant, bool alike, double full) {
    Arena *arena = out->arena;
    Estimate of = shown(variant, alike);
    const Variant *base = bench_base(bench, variant);
    text_append(out, "<div class=\"who\">");
    page_escaped(out, variant->name);
    text_append(out, "</div><div class=\"plot\">");
    page_bar(out, fuse_name(variant->fuse), of, full);
    text_append(out, "</div><div class=\"what\">");
    page_escaped(out, alike ? arena_format(arena, "%s ms ", bench_milliseconds(arena, variant->time.median))
                            : arena_format(arena, "%.0f tok/s ", of.median));
    text_append(out, "<small>");
    if (base && base != variant)
        page_escaped(out, arena_format(arena, "%.2f× %s", bench_speedup(bench, variant, base).median,
                                       base->fuse != variant->fuse ? fuse_name(base->fuse) : base->name));
    text_append(out, "</small></div>\n");
}

static void append_times(Text *out, const Bench *bench) {
    bool alike = all_alike(bench);
    double full = 0;
    for (size_t i = 0; i < bench->variant_count; i++)
        if (bench->variants[i].role == ROLE_LEVEL) full = fmax(full, shown(&bench->variants[i], alike).high);
    open_section(
        out, alike ? "Time of a training step" : "Tokens a second",
        arena_format(out->arena,
                     "Medians of %lld rounds in turn; the line on each bar is the interval that holds the median "
                     "with at least 95 %%. %s is faster.%s",
                     (long long)bench->rounds, alike ? "Shorter" : "Longer",
                     alike ? "" : " The variants do unlike work: their step times are not compared."));
    text_append(out, "<div class=\"card rows\">\n");
    for (size_t i = 0; i < bench->variant_count; i++)
        if (bench->variants[i].role == ROLE_LEVEL) append_bar(out, bench, &bench->variants[i], alike, full);
    text_append(out, "</div>\n");
    close_section(out);
}

// ---- ablation

static void append_part(Text *out, const Bench *bench, const Variant *variant, Estimate ratio, double low,
                        double high) {
    bool bad = bench_is_loss(bench, variant);
    text_append(out, "<div class=\"who%s\">", bad ? " bad" : "");
    page_escaped(out, variant->kind ? variant->kind : variant->name);
    if (bad) text_append(out, ": faster without it");
    text_append(out, "</div><div class=\"plot\">");
    page_whisker(out, bad ? "bad" : variant->role == ROLE_ONLY ? "op" : "all", ratio, low, high);
    text_append(out, "</div><div class=\"what\">%.3f <small>%.3f to %.3f</small></div>\n", ratio.median, ratio.low,
                ratio.high);
}

static void append_parts(Text *out, const Bench *bench, VariantRole role, const char *title, const char *sentence) {
    double low = 0.95, high = 1.05;
    size_t count = 0;
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i], *base = bench_base(bench, variant);
        if (variant->role != role || !base) continue;
        Estimate ratio = bench_slowdown(bench, variant, base);
        low = fmin(low, ratio.median - 0.05); // a stray end of an interval must not squeeze the rest: it is cut off
        high = fmax(high, ratio.median + 0.05);
        count++;
    }
    if (!count) return;
    open_section(out, title, sentence);
    text_append(out, "<div class=\"card rows wide\">\n");
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i], *base = bench_base(bench, variant);
        if (variant->role == role && base)
            append_part(out, bench, variant, bench_slowdown(bench, variant, base), low, high);
    }
    text_append(out, "</div>\n");
    close_section(out);
}

static void append_ablation(Text *out, const Bench *bench) {
    append_parts(
        out, bench, ROLE_WITHOUT, "What each decision is worth",
        "Time of a step with one kind of decision left out, times that of all, round by round. Right of the dotted "
        "line the decision pays.");
    append_parts(out, bench, ROLE_ONLY, "Each decision alone",
                 "Time of a step with one kind of decision and none of the others, times that without any. Left of the "
                 "dotted line it gains by itself.");
}

// ---- roofline and boxes

static int longer_first(const void *left, const void *right) {
    double a = ((const BoxFigure *)left)->seconds, b = ((const BoxFigure *)right)->seconds;
    return (a < b) - (a > b);
}

static void append_boxes(Text *out, const Variant *variant) {
    static const char *const names[] = {"place", "box", "ms", "share", "GFLOP/s", "GB/s", "count"};
    Arena *arena = out->arena;
    BoxFigure *boxes = ARENA_ARRAY(arena, BoxFigure, variant->box_count + 1);
    double total = 0;
    for (size_t i = 0; i < variant->box_count; i++)
        total += (boxes[i] = variant->boxes[i]).seconds;
    qsort(boxes, variant->box_count, sizeof *boxes, longer_first);
    text_append(out, "<div class=\"card scroll\"><table class=\"boxes\">\n");
    heads(out, names, sizeof names / sizeof *names);
    for (size_t i = 0; i < variant->box_count && i < LISTED_BOXES; i++) {
        const BoxFigure *box = &boxes[i];
        text_append(out, "<tr>");
        cell(out, explain_fit(arena, box->place, 34));
        cell(out, box->label);
        cell(out, bench_milliseconds(arena, box->seconds));
        cell(out, arena_format(arena, "%.1f %%", 100 * box->seconds / total));
        cell(out, arena_format(arena, "%.1f", 1e-9 * box->flops / box->seconds));
        cell(out, arena_format(arena, "%.1f", 1e-9 * box->bytes / box->seconds));
        cell(out, arena_format(arena, "%u", box->count));
        text_append(out, "</tr>\n");
    }
    text_append(out, "</table></div>\n");
}

static void append_roofline_card(Text *out, const Bench *bench, const Variant *variant) {
    text_append(out, "<div class=\"card\"><h3>");
    page_escaped(out, variant->name);
    text_append(out, "</h3>\n");
    Machine machine = bench_machine(bench, variant);
    page_roofline(out, &machine, variant);
    text_append(out, "\n</div>\n");
}

static void append_rooflines(Text *out, const Bench *bench) {
    const Variant *main = bench_main(bench), *base = bench_base(bench, main);
    if (main->box_count == 0) return;
    open_section(out, "Roofline",
                 "Each disc is one sort of box, its area the time spent there. The slope is the bandwidth of memory, "
                 "the ceiling the peak, both measured, or a GPU's datasheet's; what lies above the slope finds its "
                 "bytes in the caches.");
    text_append(out, "<div class=\"pair\">\n");
    append_roofline_card(out, bench, main);
    if (base && base != main && base->box_count) append_roofline_card(out, bench, base);
    text_append(out, "</div>\n<p class=\"key\"><i style=\"background:var(--product)\"></i>product"
                     "<i style=\"background:var(--row)\"></i>row<i style=\"background:var(--map)\"></i>map</p>\n");
    close_section(out);
    open_section(out, "Where the time goes",
                 arena_format(out->arena, "The longest boxes of %s, timed one by one.", main->name));
    append_boxes(out, main);
    close_section(out);
}

// ---- memory, drawing

static void append_memory(Text *out, const Bench *bench) {
    const Variant *main = bench_main(bench);
    if (main->alive_count == 0) return;
    open_section(
        out, "Memory over the step",
        "Bytes of the arena that are alive while each step of the plan runs: activations, gradients of "
        "activations and inputs. Parameters, gradients in accumulators and each thread's scratch memory come on top.");
    text_append(out, "<div class=\"pair\">\n<div class=\"card\">");
    page_memory(out, bench);
    text_append(out, "</div>\n<div class=\"card scroll\"><table>\n");
    static const char *const names[] = {"planned MB", "states", "arena", "scratch", "together"};
    heads(out, names, sizeof names / sizeof *names);
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i];
        if (variant->role != ROLE_LEVEL) continue;
        const double bytes[] = {variant->state_bytes, variant->arena_bytes, variant->scratch_bytes,
                                variant->state_bytes + variant->arena_bytes + variant->scratch_bytes};
        text_append(out, "<tr>");
        cell(out, variant->name);
        for (size_t k = 0; k < sizeof bytes / sizeof *bytes; k++)
            cell(out, arena_format(out->arena, "%.1f", 1e-6 * bytes[k]));
        text_append(out, "</tr>\n");
    }
    text_append(out, "</table></div>\n</div>\n");
    close_section(out);
}

static void append_drawing(Text *out, const Bench *bench) {
    const Variant *main = bench_main(bench);
    if (!main->drawing) return;
    open_section(out, "The boxes", "Every frame is one kernel; what is inside of it never leaves the core.");
    text_append(out, "<div class=\"card scroll drawing\">\n%s\n</div>\n", main->drawing);
    close_section(out);
}

// ---- all numbers, the machine, how to run it again

static void append_numbers(Text *out, const Bench *bench) {
    static const char *const names[] = {"variant",    "ms a step", "from", "to",      "tok/s", "mfu %", "a100 %",
                                        "products %", "MB",        "rss",  "kernels", "bytes", "error", "last loss"};
    Arena *arena = out->arena;
    open_section(
        out, "All numbers",
        "mfu: nanoGPT's flops against this machine's measured peak, or a GPU's datasheet; a100: against 312 TFLOP/s, "
        "as nanoGPT prints it; "
        "products: true flops of the products. Errors are the worst of loss, gradients and updates against "
        "float64, for fused and unfused alike.");
    text_append(out, "<div class=\"card scroll\"><table>\n");
    heads(out, names, sizeof names / sizeof *names);
    for (size_t i = 0; i < bench->variant_count; i++) {
        const Variant *variant = &bench->variants[i];
        const CheckErrors *errors = &variant->errors;
        double median = variant->time.median, peak = bench_machine(bench, variant).peak_flops;
        text_append(out, "<tr>");
        cell(out, variant->name);
        cell(out, bench_milliseconds(arena, median));
        cell(out, bench_milliseconds(arena, variant->time.low));
        cell(out, bench_milliseconds(arena, variant->time.high));
        cell(out, arena_format(arena, "%.0f", (double)variant->tokens / median));
        cell(out, arena_format(arena, "%.2f", 100 * bench_mfu(bench, variant)));
        cell(out, arena_format(arena, "%.3f", 100 * variant->formula_flops / median / NANOGPT_PEAK_FLOPS));
        cell(out, arena_format(arena, "%.2f", 100 * variant->product_flops / median / peak));
        cell(out, arena_format(arena, "%.1f",
                               1e-6 * (variant->state_bytes + variant->arena_bytes + variant->scratch_bytes)));
        cell(out, arena_format(arena, "%.1f", 1e-6 * variant->resident_bytes));
        cell(out, arena_format(arena, "%u/%u", variant->kernels, variant->distinct_kernels));
        cell(out, explain_quantity(arena, variant->model_bytes));
        cell(out, arena_format(arena, "%.1e%s",
                               fmax(errors->value.error, fmax(errors->gradient.error, errors->update.error)),
                               errors->passed ? "" : " !"));
        cell(out, arena_format(arena, "%.9g", variant->losses[bench->rounds - 1]));
        text_append(out, "</tr>\n");
    }
    text_append(out, "</table></div>\n");
    close_section(out);
}

static void fact(Text *out, const char *name, const char *value) {
    text_append(out, "<tr>");
    cell(out, name);
    cell(out, value);
    text_append(out, "</tr>\n");
}

static void append_machine(Text *out, const Bench *bench) {
    Arena *arena = out->arena;
    const Machine *machine = &bench->machine;
    double coverage;
    size_t barriers = (size_t)bench->rounds + 1;
    median_rank((size_t)bench->rounds, &coverage);
    open_section(out, "Machine and method", NULL);
    text_append(out, "<div class=\"card\"><table class=\"left\">\n");
    fact(out, "processor",
         arena_format(arena, "%s, %d cores, vectors of %d bytes", machine->cpu, machine->cores, machine->vector_bytes));
    fact(out, "caches",
         arena_format(arena, "L1d %.0f KiB, L2 %.0f KiB a core, L3 %.0f KiB", machine->l1_bytes / 1024,
                      machine->l2_bytes / 1024, machine->l3_bytes / 1024));
    fact(out, "measured",
         arena_format(arena, "%.1f GFLOP/s f32, %.1f GB/s read, %.1f GB/s triad, %d threads",
                      1e-9 * machine->peak_flops, 1e-9 * machine->read_bandwidth, 1e-9 * machine->triad_bandwidth,
                      machine->threads));
    if (machine->gpu)
        fact(out, "GPU",
             arena_format(arena, "%s, %.1f TFLOP/s %s, %.0f GB/s by its datasheet", machine->gpu,
                          1e-12 * machine->gpu_flops, machine->gpu_kind, 1e-9 * machine->gpu_bandwidth));
    Estimate barrier = estimate_median(bench->barriers, barriers);
    fact(out, "barrier",
         arena_format(arena, "%.0f ns, %.0f to %.0f between rounds", 1e9 * barrier.median, 1e9 * barrier.low,
                      1e9 * barrier.high));
    fact(out, "other work",
         arena_format(arena, "%.0f %% of the processors' time while this was measured%s",
                      fmax(0, 100 * (1 - bench->processor_share)),
                      bench_was_disturbed(bench) ? ": times are not those of a quiet machine" : ""));
    fact(out, "versions", arena_format(arena, "sinter %s, LLVM %s, %s", bench->sinter, bench->llvm, bench->blas));
    fact(out, "model",
         arena_format(arena, "%s, spec %s, config %s", bench->spec_file, bench_hash(arena, bench->spec_source),
                      bench_hash(arena, bench->config)));
    fact(out, "rounds",
         arena_format(arena,
                      "%lld rounds, all variants in turn in one process, %lld timed steps behind %lld "
                      "to warm up, %s",
                      (long long)bench->rounds, (long long)bench->visit_steps, (long long)bench->warmup_steps,
                      bench->resident ? "sessions kept" : "sessions made anew for each visit"));
    fact(out, "intervals",
         arena_format(arena,
                      "order statistics of the rounds' medians (%.1f %%), widened to the medians of "
                      "both halves of the run",
                      100 * coverage));
    fact(out, "errors", arena_format(arena, "against the float64 reference, %s", bench->error_shape));
    text_append(out, "</table></div>\n");
    close_section(out);
}

static void append_replay(Text *out, const Bench *bench, const char *record_path) {
    open_section(out, "Run it again",
                 record_path
                     ? "The record holds spec, config, choices, seeds and every measured time; the same binary on the "
                       "same machine gives equal losses."
                     : "This run wrote no record; --json=FILE writes one.");
    text_append(out, "<pre><code>");
    if (record_path)
        page_escaped(out, arena_format(out->arena, "sinter bench --replay=%s", record_path));
    else
        text_append(out, "sinter bench CONFIG... --json=FILE");
    text_append(out, "</code></pre>\n<pre><code>");
    page_escaped(out, bench->config);
    text_append(out, "</code></pre>\n");
    close_section(out);
}

void bench_report(const Bench *bench, const char *record_path, Text *out) {
    append_head(out, bench);
    append_headline(out, bench);
    append_times(out, bench);
    append_ablation(out, bench);
    append_rooflines(out, bench);
    append_memory(out, bench);
    append_drawing(out, bench);
    append_numbers(out, bench);
    append_machine(out, bench);
    append_replay(out, bench, record_path);
    text_append(out, "</main>\n</body>\n</html>\n");
}
