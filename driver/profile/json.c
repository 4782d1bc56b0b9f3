// A profile as a JSON record, and a timeline in Chrome's trace event format ("Trace Event Format", Google): complete
// events `ph X` with begin and duration in microseconds, one track (`tid`) for each thread.
//
//     {"name":"product","cat":"contraction","ph":"X","ts":12.345,"dur":6.5,"pid":1,"tid":0,
//      "args":{"place":"layer[0].t","piece":3,"flops":6291456}}
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "driver/profile/profile.h"

static void append_json(Text *out, json_t *value, size_t flags) {
    char *text = json_dumps(value, flags);
    if (!text) memory_exhausted(0);
    text_append(out, "%s", text);
    free(text);
    json_decref(value);
}

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

// ---- the record

static json_t *machine_record(const Profile *profile) {
    const ProbeResult *machine = &profile->machine;
    if (profile->gpu)
        return json_pack("{s:s, s:s, s:o, s:o, s:i, s:o, s:o}", "gpu", profile->gpu, "peak_kind", profile->peak_kind,
                         "peak_flops", number(machine->fma_flops), "read_bandwidth", number(machine->read_bandwidth),
                         "launches", (int)profile->launches, "launch_seconds", number(profile->launch_seconds),
                         "host_seconds", number(profile->host_seconds));
    return json_pack("{s:s, s:s?, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "cpu", machine->model, "blas_forced",
                     profile->blas_forced, "cores", machine->cores, "threads", machine->threads, "vector_bytes",
                     machine->vector_bytes, "peak_flops", number(machine->fma_flops), "read_bandwidth",
                     number(machine->read_bandwidth), "barrier_seconds", number(machine->barrier_seconds), "l2_bytes",
                     number(machine->l2_bytes), "l3_bytes", number(machine->l3_bytes));
}

static json_t *run_record(const Profile *profile) {
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "model", profile->model, "level", profile->level,
                     "batch_size", (json_int_t)profile->batch_size, "block_size", (json_int_t)profile->block_size,
                     "accumulation", (json_int_t)profile->accumulation, "tokens_per_step", number(profile->tokens),
                     "formula_flops", number(profile->formula_flops), "product_flops", number(profile->product_flops));
}

static json_t *step_record(const Profile *profile) {
    double seconds = profile->step_seconds, formula = profile->formula_flops / seconds;
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "steps", profile->steps, "seconds", number(seconds),
                     "profiled_seconds", number(profile->profiled_seconds), "overhead",
                     number(profile->profiled_seconds / seconds - 1), "spread", number(profile->spread),
                     "tokens_per_second", number(profile->tokens / seconds), "mfu",
                     number(formula / profile->machine.fma_flops), "mfu_a100", number(formula / NANOGPT_PEAK_FLOPS));
}

static json_t *share_record(const Profile *profile, double seconds) {
    return json_pack("{s:o, s:o}", "seconds", number(seconds), "share", number(seconds / profile->step_seconds));
}

static json_t *causes_record(const Profile *profile) {
    json_t *causes = json_object();
    for (Cause cause = 0; cause < CAUSE_COUNT; cause++)
        json_object_set_new(causes, cause_name(cause), share_record(profile, profile_cause_seconds(profile, cause)));
    json_object_set_new(causes, "unaccounted", share_record(profile, profile_unaccounted(profile)));
    return causes;
}

static json_t *beside_record(const Profile *profile) {
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "eval_interval", (json_int_t)profile->eval_interval,
                     "evaluation_seconds", number(profile->evaluation_seconds), "checkpoint_seconds",
                     number(profile->checkpoint_seconds), "checkpoint_bytes", number(profile->checkpoint_bytes),
                     "imbalance_seconds", number(profile->imbalance_seconds), "barrier_seconds",
                     number(profile->barrier_seconds));
}

static json_t *box_record(const Profile *profile, const ProfileBox *box) {
    double roof = profile_roof_seconds(profile, box);
    bool is_compute = box->flops / profile_box_peak(profile, box) >= roof;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o}", "label", box->label,
                     "place", box->place, "form", form_name(box->form), "engine", engine_name(box->engine), "cause",
                     cause_name(box->cause), "steps", (int)box->steps, "seconds", number(box->seconds), "wait_seconds",
                     number(box->wait_seconds), "share", number(box->seconds / profile->step_seconds), "flops",
                     number(box->flops), "bytes", number(box->bytes), "far_bytes", number(box->far_bytes), "bound",
                     is_compute ? "compute" : "memory", "roof_fraction",
                     number(box->seconds > 0 ? roof / box->seconds : 0));
}

static json_t *boxes_record(const Profile *profile) {
    json_t *boxes = json_array();
    for (size_t i = 0; i < profile->table.count; i++)
        json_array_append_new(boxes, box_record(profile, &profile->table.boxes[i]));
    return boxes;
}

static json_t *predictions_record(const Profile *profile) {
    json_t *predictions = json_array();
    for (int i = 0; i < profile->prediction_count; i++) {
        const Prediction *row = &profile->predictions[i];
        json_array_append_new(predictions,
                              json_pack("{s:s, s:o, s:o, s:o, s:s}", "change", row->change, "step_seconds",
                                        number(row->seconds), "tokens_per_second", number(row->tokens / row->seconds),
                                        "gain", number(row->gain), "note", row->note));
    }
    return predictions;
}

static json_t *why_record(const Profile *profile, Arena *arena) {
    Text why = text_create(arena);
    profile_why(profile, &why);
    json_t *lines = json_array();
    for (const char *line = text_string(&why), *end; (end = strchr(line, '\n')); line = end + 1)
        json_array_append_new(lines, json_stringn(line, (size_t)(end - line)));
    return lines;
}

void profile_record(const Profile *profile, Text *out) {
    json_t *record =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "record", "sinter profile", "machine",
                  machine_record(profile), "run", run_record(profile), "step", step_record(profile), "causes",
                  causes_record(profile), "beside", beside_record(profile), "predictions", predictions_record(profile),
                  "why", why_record(profile, out->arena), "boxes", boxes_record(profile));
    if (!record) memory_exhausted(0);
    append_json(out, record, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    text_append(out, "\n");
}

// ---- the timeline

static json_t *named_track(const char *what, int track, const char *name) {
    return json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", what, "ph", "M", "pid", 1, "tid", track, "args", "name",
                     name);
}

// Whole nanoseconds at both ends, so that rounding never makes neighbours overlap.
static json_t *slice_record(const Timeline *timeline, const TimelineSlice *slice) {
    double begin = floor(1e9 * timeline->tick_seconds * (double)(slice->begin - timeline->base));
    double end = floor(1e9 * timeline->tick_seconds * (double)(slice->end - timeline->base));
    json_t *arguments = json_object();
    if (*slice->place) json_object_set_new(arguments, "place", json_string(slice->place));
    if (slice->piece >= 0) json_object_set_new(arguments, "piece", json_integer(slice->piece));
    if (slice->flops > 0) json_object_set_new(arguments, "flops", json_real(slice->flops));
    return json_pack("{s:s, s:s, s:s, s:f, s:f, s:i, s:i, s:o}", "name", slice->label, "cat", slice->kind, "ph", "X",
                     "ts", 1e-3 * begin, "dur", 1e-3 * (end - begin), "pid", 1, "tid", slice->thread + 1, "args",
                     arguments);
}

void timeline_print(const Timeline *timeline, const char *title, Text *out) {
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(12);
    text_append(out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
    append_json(out, named_track("process_name", 0, title), flags);
    text_append(out, ",\n");
    append_json(out, named_track("thread_name", 0, "training steps"), flags);
    for (int t = 0; t < timeline->threads; t++) {
        text_append(out, ",\n");
        append_json(out, named_track("thread_name", t + 1, arena_format(out->arena, "thread %d", t)), flags);
    }
    for (size_t i = 0; i < timeline->count; i++) {
        text_append(out, ",\n");
        append_json(out, slice_record(timeline, &timeline->slices[i]), flags);
    }
    text_append(out, "\n]}\n");
}
