// Steps to boxes: see profile.h.
#include "driver/profile/profile.h"

#include <stdlib.h>
#include <string.h>

#include "driver/explain/explain.h"

static const struct {
    const char *name, *sentence;
} causes[CAUSE_COUNT] = {
    [CAUSE_CONTRACTION] = {"contraction", "matrix products, with what is computed in their epilogues"},
    [CAUSE_POINTWISE] = {"pointwise", "norms, softmax, losses, the optimizer: bound by arithmetic"},
    [CAUSE_MEMORY] = {"memory", "packing, copying, and what moves bytes at the memory's speed"},
    [CAUSE_WAITING] = {"waiting", "threads for each other"},
    [CAUSE_DATA] = {"data", "taking the next batch"},
};

const char *cause_name(Cause cause) { return causes[cause].name; }
const char *cause_sentence(Cause cause) { return causes[cause].sentence; }

static double value_bytes(const Plan *plan, ValueId id) {
    const Value *value = &plan->values[id];
    return (double)graph_elements(plan->dims, dim_list_set(&value->order)) * (double)dtype_bytes(value->dtype);
}

// The cost model counts operands by what is read of them; here the part of them that is far away scales it.
double step_far_bytes(const Plan *plan, const Step *step) {
    double all = 0, far = 0;
    for (uint32_t k = 0; k < step->operand_count + step->output_count; k++) {
        ValueId id = k < step->operand_count ? step->operands[k] : step->outputs[k - step->operand_count];
        double bytes = value_bytes(plan, id);
        all += bytes;
        if (plan->values[id].space != SPACE_SCRATCH) far += bytes;
    }
    return all > 0 ? step->bytes * far / all : 0;
}

static ProfileBox *find(const BoxTable *table, const Step *step, const char *place) {
    for (size_t i = 0; i < table->count; i++) {
        ProfileBox *box = &table->boxes[i];
        if (box->form == step->form && box->engine == step->engine && box->tensor == step->tensor.kind &&
            text_equal(box->label, step->label) && layer_text_same(box->first_place, place))
            return box;
    }
    return NULL;
}

const ProfileBox *box_table_find(const BoxTable *table, const Plan *plan, const Step *step) {
    return find(table, step, explain_place(plan, step->place, table->arena));
}

uint32_t *box_table_add(BoxTable *table, const Plan *plan, double runs) {
    uint32_t *numbers = ARENA_ARRAY(table->arena, uint32_t, plan->step_count);
    for (uint32_t s = 0; s < plan->step_count; s++) {
        const Step *step = &plan->steps[s];
        const char *place = explain_place(plan, step->place, table->arena);
        ProfileBox *box = find(table, step, place);
        if (!box) {
            table->boxes = arena_grow(table->arena, table->boxes, &table->capacity, table->count + 1, sizeof *box);
            box = &table->boxes[table->count++];
            *box = (ProfileBox){.label = step->label, .first_place = place, .form = step->form, .engine = step->engine,
                                .tensor = step->tensor.kind};
        }
        unsigned long layer;
        if (layer_of_text(place, &layer)) layer_set_add(table->arena, &box->layers, layer);
        box->steps++;
        box->flops += runs * step->flops;
        box->bytes += runs * step->bytes;
        box->far_bytes += runs * step_far_bytes(plan, step);
        numbers[s] = (uint32_t)(box - table->boxes);
    }
    return numbers;
}

static const double bound_from = 2.0 / 3;   // of the memory's bandwidth

static Cause cause_of(const ProfileBox *box, double bandwidth) {
    if (form_multiplies(box->form)) return CAUSE_CONTRACTION;
    bool bound_by_bandwidth = box->seconds > 0 && box->far_bytes >= bound_from * bandwidth * box->seconds;
    return box->flops == 0 || bound_by_bandwidth ? CAUSE_MEMORY : CAUSE_POINTWISE;
}

void box_table_finish(BoxTable *table, double bandwidth) {
    for (size_t i = 0; i < table->count; i++) {
        ProfileBox *box = &table->boxes[i];
        Text place = text_create(table->arena);
        layer_text_append(&place, box->first_place, &box->layers);
        box->place = text_string(&place);
        box->cause = cause_of(box, bandwidth);
    }
}

// ---- sums

double profile_cause_seconds(const Profile *profile, Cause cause) {
    if (cause == CAUSE_WAITING) return profile->imbalance_seconds + profile->barrier_seconds;
    if (cause == CAUSE_DATA) return profile->data_seconds;
    double seconds = 0;
    for (size_t i = 0; i < profile->table.count; i++)
        if (profile->table.boxes[i].cause == cause) seconds += profile->table.boxes[i].seconds;
    return seconds;
}

double profile_unaccounted(const Profile *profile) {
    double rest = profile->step_seconds;
    for (Cause cause = 0; cause < CAUSE_COUNT; cause++)
        rest -= profile_cause_seconds(profile, cause);
    return rest;
}

double profile_box_peak(const Profile *profile, const ProfileBox *box) {
    return box->peak > 0 ? box->peak : profile->machine.fma_flops;
}

double profile_roof_seconds(const Profile *profile, const ProfileBox *box) {
    double compute = box->flops / profile_box_peak(profile, box);
    double memory = box->far_bytes / profile->machine.read_bandwidth;
    return compute > memory ? compute : memory;
}
