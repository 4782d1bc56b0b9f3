// choose_precision: what is stored as the products that read it round it anyway.
//
// requires  tensor tiles
// ensures   a temporary that nobody reads but products in tensor cores, which only multiply by it and round to bf16, is
//           stored in bf16; who writes it rounds it
//           so is what such a product makes, whoever reads it, if nothing of its size is added to it (as autocast has
//           it, but for residuals, which stay f32), and what maps only put together of values in bf16
//           everything else stays f32, unless a choice says bf16
//           long rows of such a temporary begin at multiples of 16 bytes
//           a param that products multiply by and round gets a copy in bf16, which they read: a state that is made anew
//           by the step that updates the param
//           where products round to f16, f16 stands for bf16 in all of this
// does nothing on a processor, and unless products round to bf16 or f16
// ledger    per value that such a product multiplies by: made, with the bytes that its writer and readers save, or the
//           first condition that failed
//
//     value %2 temporary f32[B,T,C]  (layernorm)     read by two products, tensor bf16     bf16[B,T,C]
//     value %7 temporary f32[B,T,C]  (residual)      read by layernorm, too                f32[B,T,C]
//     value %9 temporary f32[B,T,V]  (logits)        made by a product, tensor bf16        bf16[B,T,V]
#include "passes/panels.h"
#include "passes/pass_functions.h"
#include "passes/rounding.h"
#include "passes/state_layouts.h"
#include "passes/step_cost.h"

typedef struct {
    Plan *plan;
    PassContext *context;
    uint32_t *writers;   // by value
    DType narrow;        // what products round to: bf16 or f16; f32: neither
    size_t value_capacity;
} Storing;

static DType narrow_of(const PassContext *context) {
    if (!target_is_gpu(context->target)) return DTYPE_F32;
    return context->tensor == TENSOR_BF16 ? DTYPE_BF16 : context->tensor == TENSOR_F16 ? DTYPE_F16 : DTYPE_F32;
}

// ---- conditions

// Whether the step needs operand k for nothing but its product.
static bool only_multiplies(const Plan *plan, const Step *step, uint32_t k) {
    const Graph *region = step->region;
    Contraction contraction = product_contraction(plan, step);
    bool *needed = ARENA_ARRAY(plan->arena, bool, graph_nodes(region));
    for (uint32_t i = 0; i < graph_outputs(region); i++) needed[graph_output_at(region, i)->node] = true;
    for (NodeId id = graph_nodes(region); id-- > 0;) {
        const Node *node = graph_node(region, id);
        if (!needed[id] || id == contraction.node) continue;
        if (node->op == OP_OPERAND && node->attr.integer == (int64_t)k) return false;
        for (uint32_t i = 0; i < node->operand_count; i++) needed[node->operands[i]] = true;
    }
    return true;
}

static bool is_narrow_kind(TensorKind kind) { return kind == TENSOR_BF16 || kind == TENSOR_F16; }

// All products in tensor cores of one plan round to one type.
bool step_rounds(const Plan *plan, const Step *step, uint32_t k) {
    return step->form == FORM_PRODUCT && is_narrow_kind(step->tensor.kind) && only_multiplies(plan, step, k);
}

typedef struct {
    uint32_t count, rounding;   // how many read it, and how many of these round it
    const Step *other;          // the first one that reads it in f32; NULL: nobody does
    uint32_t last;              // the last one that rounds it
} Readers;

static Readers readers_of(const Plan *plan, ValueId id) {
    Readers readers = {0};
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++) {
            if (plan->steps[s].operands[k] != id) continue;
            readers.count++;
            if (step_rounds(plan, &plan->steps[s], k)) {
                readers.rounding++;
                readers.last = s;
            } else if (!readers.other) {
                readers.other = &plan->steps[s];
            }
        }
    return readers;
}

bool step_sums_in_memory(const Step *writer) {
    if (scattering_of(writer->region).scatter != NODE_NONE) return true;
    return writer->form == FORM_PRODUCT && writer->tensor.kind == TENSOR_NONE;
}

static const char *refusal(const Storing *storing, ValueId id, DType narrow) {
    Arena *arena = storing->plan->arena;
    const Value *value = &storing->plan->values[id];
    if (storing->narrow != narrow)
        return arena_format(arena, "products round to %s on GPUs only, with dtype = %s", dtype_name(narrow),
                            narrow == DTYPE_F16 ? "float16" : "bfloat16");
    if (value->dtype != DTYPE_F32) return arena_format(arena, "it holds %s", dtype_name(value->dtype));
    if (value->kind != VALUE_TEMPORARY || storing->writers[id] == STEP_NONE) return "it outlives the step";
    if (value->parts > 1) return "it is a sum of parts";
    if (value->is_over) return "it is written over another value";
    if (step_sums_in_memory(&storing->plan->steps[storing->writers[id]])) return "it is summed up in memory";
    return NULL;
}

// ---- what is as good in 16 bits for everybody

static uint32_t output_of(const Step *step, ValueId id) {
    for (uint32_t k = 0; k < step->output_count; k++)
        if (step->outputs[k] == id) return k;
    BUG("value %u is not among its writer's", id);
}

// Whether a factor is stored in 16 bits, or, before anything is decided, will be as far as one can see.
static bool is_narrow_factor(const Storing *storing, const Step *step, NodeId view) {
    const Plan *plan = storing->plan;
    ValueId id = step->operands[operand_below(step->region, view)];
    const Value *value = &plan->values[id];
    if (value->dtype == storing->narrow) return true;
    Readers readers = readers_of(plan, id);
    if (value->dtype != DTYPE_F32 || readers.rounding == 0) return false;
    if (value->is_param) return readers.rounding > 1;
    if (value->kind != VALUE_TEMPORARY || storing->writers[id] == STEP_NONE) return false;
    const Step *writer = &plan->steps[storing->writers[id]];
    return !readers.other || (writer->form == FORM_PRODUCT && is_narrow_kind(writer->tensor.kind));
}

// What tensor cores multiply has the error of factors that they rounded; rounding it once more adds as much again. What
// is added to something of its size, as to a residual, stays f32: there errors of all layers would add up.
static bool is_plain_result(const Storing *storing, ValueId id) {
    const Step *step = &storing->plan->steps[storing->writers[id]];
    if (step->form != FORM_PRODUCT || !is_narrow_kind(step->tensor.kind)) return false;
    const Graph *region = step->region;
    Contraction contraction = product_contraction(storing->plan, step);
    if (!is_narrow_factor(storing, step, contraction.rows_operand) &&
        !is_narrow_factor(storing, step, contraction.lanes_operand))
        return false;
    NodeId output = graph_output_at(region, output_of(step, id))->node;
    bool *is_made = ARENA_ARRAY(storing->plan->arena, bool, graph_nodes(region));
    is_made[contraction.node] = true;
    for (NodeId n = contraction.node + 1; n <= output; n++) {
        const Node *node = graph_node(region, n);
        for (uint32_t i = 0; i < node->operand_count; i++) is_made[n] |= is_made[node->operands[i]];
        for (uint32_t i = 0; i < node->operand_count && is_made[n] && node->op != OP_MUL; i++) {
            const Node *other = graph_node(region, node->operands[i]);
            bool is_as_large = other->dims == graph_node(region, output)->dims && other->dtype == DTYPE_F32;
            if (!is_made[node->operands[i]] && is_as_large) return false;
        }
    }
    return is_made[output] && graph_node(region, output)->dtype == DTYPE_F32;
}

// Of values in 16 bits, and nothing is computed.
static bool is_put_together(const Storing *storing, ValueId id) {
    const Step *step = &storing->plan->steps[storing->writers[id]];
    const bool *live = graph_live(step->region, storing->plan->arena);
    if (step->form != FORM_MAP) return false;
    for (NodeId n = 0; n < graph_nodes(step->region); n++) {
        const Node *node = graph_node(step->region, n);
        if (live[n] && node->op != OP_OPERAND && op_class(node->op) != CLASS_MOVE) return false;
    }
    for (uint32_t k = 0; k < step->operand_count; k++)
        if (storing->plan->values[step->operands[k]].dtype != storing->narrow) return false;
    return true;
}

// A gradient of weights, to which another one is added where it lies.
static bool is_added_onto(const Plan *plan, ValueId id) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Scattering scattering = scattering_of(plan->steps[s].region);
        if (scattering.base == NODE_NONE) continue;
        const Node *base = graph_node(plan->steps[s].region, scattering.base);
        if (base->op == OP_OPERAND && plan->steps[s].operands[base->attr.integer] == id) return true;
    }
    return false;
}

// Why nobody minds; NULL: somebody may.
static const char *excuse(const Storing *storing, ValueId id, DType narrow) {
    if (storing->writers[id] == STEP_NONE || narrow == DTYPE_F32 || storing->narrow != narrow) return NULL;
    if (is_added_onto(storing->plan, id)) return NULL;
    if (is_plain_result(storing, id)) return "a product makes it of rounded factors";
    return is_put_together(storing, id) ? "it is put together of such values" : NULL;
}

// What speaks against it, but a choice may overrule: a step that would now read what is rounded.
static const char *objection(const Storing *storing, const Readers *readers) {
    const Step *other = readers->other;
    return other ? arena_format(storing->plan->arena, "%s at %s reads it in f32", other->label, other->place) : NULL;
}

// ---- the choice

static const char *place_of(const Storing *storing, ValueId id) {
    const Value *value = &storing->plan->values[id];
    if (value->name || storing->writers[id] == STEP_NONE) return value->name ? value->name : "";
    return storing->plan->steps[storing->writers[id]].place;
}

// Long rows begin at multiples of 16 bytes, which products copy at a time: 50257 logits have room for 50264. Maps fill
// what they write, with no room between rows.
static void align_rows(const Plan *plan, const Step *writer, Value *value) {
    enum { ALIGNED = 8, LONG = 100 * ALIGNED };
    if (writer->form == FORM_MAP) return;
    LayoutPiece *last = &value->layout.pieces[value->layout.count - 1];
    bool has_rows = value->order.rank > 1 && layout_is_plain(plan->dims, &value->layout);
    if (has_rows && last->extent >= LONG) last->extent = (last->extent + ALIGNED - 1) / ALIGNED * ALIGNED;
}

static void store_narrow(const Storing *storing, ValueId id) {
    Plan *plan = storing->plan;
    plan->values[id].dtype = storing->narrow;
    align_rows(plan, &plan->steps[storing->writers[id]], &plan->values[id]);
    step_cost(plan, &plan->steps[storing->writers[id]]);
    for (uint32_t s = 0; s < plan->step_count; s++)
        for (uint32_t k = 0; k < plan->steps[s].operand_count; k++)
            if (plan->steps[s].operands[k] == id) step_cost(plan, &plan->steps[s]);
}

// The 16 bits that a choice wants it in; f32: none does.
static DType asked_type(const Storing *storing, const char *place) {
    Choices *choices = storing->context->choices;
    if (choices_ask_for(choices, place, DTYPE_BF16)) return DTYPE_BF16;
    return choices_ask_for(choices, place, DTYPE_F16) ? DTYPE_F16 : DTYPE_F32;
}

// False when nobody asks.
static bool decide(const Storing *storing, ValueId id, const Readers *readers, DType *narrow, Decision *decision) {
    const Plan *plan = storing->plan;
    Choices *choices = storing->context->choices;
    *decision = (Decision){.pass = "choose_precision", .place = place_of(storing, id)};
    DType asked = asked_type(storing, decision->place);
    *narrow = asked == DTYPE_F32 ? storing->narrow : asked;
    const char *excused = excuse(storing, id, *narrow);
    if (readers->rounding == 0 && asked == DTYPE_F32 && !excused) return false;
    decision->what = arena_format(plan->arena, "store in %s", dtype_name(*narrow));
    decision->reason = refusal(storing, id, *narrow);
    bool is_possible = !decision->reason;
    if (is_possible && !excused) decision->reason = objection(storing, readers);
    decision->made = !decision->reason;
    if (decision->made && readers->other)
        decision->reason = excused;
    else if (decision->made)
        decision->reason = readers->rounding == 1 ? "one product reads it, and rounds it"
                                                  : arena_format(plan->arena, "%u products read it, and round it",
                                                                 readers->rounding);
    choices_decide(choices, is_possible, decision);
    choices_decide_precision(choices, is_possible, *narrow, decision);
    return true;
}

static void choose(const Storing *storing, ValueId id) {
    Readers readers = readers_of(storing->plan, id);
    Decision decision;
    DType narrow;
    if (!decide(storing, id, &readers, &narrow, &decision)) return;
    if (decision.made) {
        double narrower = (double)(dtype_bytes(DTYPE_F32) - dtype_bytes(narrow));
        const Layout *layout = &storing->plan->values[id].layout;
        decision.bytes_saved = (1.0 + readers.count) * narrower * (double)layout_elements(layout);
        store_narrow(storing, id);
    }
    ledger_add(storing->context->ledger, decision);
}

// ---- copies of params

// The next value of a param; VALUE_NONE: this program does not update it.
static ValueId find_next(const Plan *plan, ValueId param) {
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].next_of == param) return id;
    return VALUE_NONE;
}

static const char *copy_refusal(const Storing *storing, const Readers *readers, ValueId next, const char *name) {
    const StateTable *table = storing->context->states;
    if (next == VALUE_NONE)
        return table && table->updates && !state_layout_find(table, name) ? "the program that updates it keeps no copy"
                                                                         : NULL;
    if (state_layout_find(table, name)) return NULL;
    // Written once, of half the bytes; each reader saves as much.
    if (readers->rounding < 2) return "it is read once for each time that it is written";
    return readers->last > storing->writers[next] ? "it is read behind its update" : NULL;
}

// The step that writes the param's next value stores the copy's, too.
static void make_anew(Storing *storing, Step *writer, ValueId next, ValueId copy) {
    Plan *plan = storing->plan;
    Value value = plan->values[copy];
    Value made = {.kind = VALUE_OUTPUT,
                  .name = value.name,
                  .dtype = value.dtype,
                  .order = value.order,
                  .layout = value.layout,
                  .space = SPACE_STATE,
                  .next_of = copy,
                  .in_place = true};
    ValueId result = plan_add_value(plan, &storing->value_capacity, made);
    ValueId *outputs = ARENA_ARRAY(plan->arena, ValueId, writer->output_count + 1);
    for (uint32_t k = 0; k < writer->output_count; k++) {
        outputs[k] = writer->outputs[k];
        if (outputs[k] == next) graph_output(writer->region, value.name, graph_output_at(writer->region, k)->node);
    }
    outputs[writer->output_count++] = result;
    writer->outputs = outputs;
    step_cost(plan, writer);
}

static void read_copy(Plan *plan, ValueId param, ValueId copy) {
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        bool reads = false;
        for (uint32_t k = 0; k < step->operand_count; k++) {
            if (step->operands[k] != param || !step_rounds(plan, step, k)) continue;
            step->operands[k] = copy;
            reads = true;
        }
        if (reads) step_cost(plan, step);
    }
}

static void keep_copy(Storing *storing, ValueId param, ValueId next, const char *name) {
    Plan *plan = storing->plan;
    Value value = plan->values[param];
    Value kept = {.kind = VALUE_STATE,
                  .name = name,
                  .dtype = storing->narrow,
                  .order = value.order,
                  .layout = value.layout,
                  .leaf = value.leaf,
                  .is_copy = true,
                  .space = SPACE_STATE,
                  .next_of = VALUE_NONE};
    ValueId copy = plan_add_value(plan, &storing->value_capacity, kept);
    state_layout_note(storing->context->states, plan, &plan->values[copy]);
    read_copy(plan, param, copy);
    if (next != VALUE_NONE) make_anew(storing, &plan->steps[storing->writers[next]], next, copy);
}

static const char *name_of_copy(const Storing *storing, const Value *param) {
    return copy_name(storing->plan->arena, storing->plan->dims, param->name, storing->narrow, &param->layout);
}

// False when nobody would read it.
static bool decide_copy(const Storing *storing, ValueId param, const Readers *readers, ValueId next,
                        Decision *decision) {
    const Plan *plan = storing->plan;
    Choices *choices = storing->context->choices;
    const Value *value = &plan->values[param];
    const char *name = name_of_copy(storing, value);
    *decision = (Decision){.pass = "choose_precision", .place = value->name};
    decision->what = arena_format(plan->arena, "keep copy in %s", dtype_name(storing->narrow));
    bool is_kept = next != VALUE_NONE && state_layout_find(storing->context->states, name);
    if (readers->rounding == 0 && !is_kept) return false;
    decision->reason = copy_refusal(storing, readers, next, name);
    bool is_possible = decision->made = !decision->reason;
    if (is_possible)
        decision->reason = arena_format(plan->arena, "%u products read it, and round it", readers->rounding);
    if (is_kept) return true;
    choices_decide(choices, is_possible, decision);
    choices_decide_precision(choices, is_possible, storing->narrow, decision);
    return true;
}

static void choose_copy(Storing *storing, ValueId param) {
    const Plan *plan = storing->plan;
    Readers readers = readers_of(plan, param);
    ValueId next = find_next(plan, param);
    Decision decision;
    if (!decide_copy(storing, param, &readers, next, &decision)) return;
    if (decision.made) {
        const Value *value = &plan->values[param];
        double copies = (double)readers.rounding - (next != VALUE_NONE);
        decision.bytes_saved = copies * sizeof(uint16_t) * (double)layout_elements(&value->layout);
        keep_copy(storing, param, next, name_of_copy(storing, value));
    }
    ledger_add(storing->context->ledger, decision);
}

// ---- the doors

static bool is_copied(const Storing *storing, ValueId id) {
    const Value *value = &storing->plan->values[id];
    return storing->narrow != DTYPE_F32 && value->is_param && value->dtype == DTYPE_F32;
}

const bool *foresee_narrow(Plan *plan, PassContext *context) {
    Storing storing = {plan, context, plan_writers(plan, plan->arena), narrow_of(context), plan->value_count};
    bool *narrow = ARENA_ARRAY(plan->arena, bool, plan->value_count + 1);
    for (ValueId id = 0; id < plan->value_count && storing.narrow != DTYPE_F32; id++) {
        Readers readers = readers_of(plan, id);
        Decision decision;
        DType type;
        bool is_asked = is_copied(&storing, id) ? decide_copy(&storing, id, &readers, find_next(plan, id), &decision)
                                                : decide(&storing, id, &readers, &type, &decision);
        narrow[id] = is_asked && decision.made;
    }
    return narrow;
}

bool pass_choose_precision(Plan *plan, PassContext *context) {
    Storing storing = {plan, context, plan_writers(plan, plan->arena), narrow_of(context), plan->value_count};
    uint32_t count = plan->value_count;
    bool is_narrow = storing.narrow != DTYPE_F32, updates = false;
    for (ValueId id = 0; id < count; id++) {
        if (is_copied(&storing, id))
            choose_copy(&storing, id);
        else
            choose(&storing, id);
        updates |= plan->values[id].next_of != VALUE_NONE && plan->values[plan->values[id].next_of].is_param;
    }
    if (context->states && updates && is_narrow) context->states->updates = true;
    return true;
}
