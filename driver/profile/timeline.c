// From traces to tracks: see profile.h.
#include "driver/profile/profile.h"

void timeline_add_slice(Timeline *timeline, TimelineSlice slice) {
    timeline->slices =
        arena_grow(timeline->arena, timeline->slices, &timeline->capacity, timeline->count + 1, sizeof slice);
    timeline->slices[timeline->count++] = slice;
}

void timeline_add_event(Timeline *timeline, const char *label, const char *kind, int thread, uint64_t begin,
                        uint64_t end) {
    timeline_add_slice(timeline, (TimelineSlice){label, "", kind, begin, end, thread, -1, 0});
}

static TimelineSlice described(const ProfiledProgram *profiled, const BoxTable *table, const TraceSlice *slice) {
    bool at_end = slice->step == profiled->program->step_count;
    if (slice->piece == TRACE_WAIT)
        return (TimelineSlice){.label = "wait",
                               .place = at_end ? "for the end" : profiled->places[slice->step],
                               .kind = cause_name(CAUSE_WAITING),
                               .piece = -1};
    const Step *step = &profiled->plan->steps[slice->step];
    uint32_t pieces = profiled->program->steps[slice->step].pieces;
    return (TimelineSlice){.label = step->label,
                           .place = profiled->places[slice->step],
                           .kind = cause_name(table->boxes[profiled->boxes[slice->step]].cause),
                           .piece = slice->piece,
                           .flops = step->flops / pieces};
}

void timeline_add_run(Timeline *timeline, const ProfiledProgram *profiled, const BoxTable *table, const Trace *trace) {
    for (int t = 0; t < trace->thread_count; t++) {
        uint64_t before = trace->begin;
        for (size_t i = 0; i < trace->threads[t]->count; i++) {
            const TraceSlice *slice = &trace->threads[t]->slices[i];
            TimelineSlice shown = described(profiled, table, slice);
            shown.thread = t;
            shown.begin = before;
            shown.end = slice->end;
            if (slice->end > before) timeline_add_slice(timeline, shown);
            before = slice->end;
        }
    }
}
