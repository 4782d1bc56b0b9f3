#include "runtime/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/interrupt.h"
#include "runtime/random.h"
#include "runtime/slot.h"

// ---- one draw

static int compare_descending(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a < b) - (a > b);
}

// The k-th largest logit: nanoGPT keeps everything that is not below it, so ties stay.
static float kth_largest(const float *logits, int64_t count, int64_t k) {
    float *sorted = memory_allocate_array((size_t)count, sizeof *sorted);
    memcpy(sorted, logits, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, compare_descending);
    float result = sorted[k - 1];
    memory_release(sorted);
    return result;
}

static int32_t largest(const float *logits, int64_t count) {
    int32_t best = -1;
    for (int64_t i = 0; i < count; i++)
        if (!isnan(logits[i]) && (best < 0 || logits[i] > logits[best])) best = (int32_t)i;
    return best >= 0 && isfinite(logits[best]) ? best : -1;
}

int32_t sample_draw(const float *logits, int64_t count, double temperature, int64_t top_k, double random) {
    int32_t best = largest(logits, count);
    if (best < 0 || temperature <= 0) return best;
    float floor = top_k > 0 && top_k < count ? kth_largest(logits, count, top_k) : -INFINITY;
    double total = 0;
    for (int64_t i = 0; i < count; i++)
        if (logits[i] >= floor) total += exp((logits[i] - logits[best]) / temperature);
    double left = random * total;
    int32_t last = best; // where rounding leaves a remainder
    for (int64_t i = 0; i < count; i++) {
        if (!(logits[i] >= floor)) continue;
        double weight = exp((logits[i] - logits[best]) / temperature);
        if (weight == 0) continue;
        last = (int32_t)i;
        if (left < weight) break;
        left -= weight;
    }
    return last;
}

// ---- samples

typedef struct {
    const SampleOptions *options;
    Diags *diags;
    int32_t *input;      // tok[rows, context]
    const ProgramSlot *output_slot;
    int64_t rows, context, vocabulary, drawable;
    int64_t length;  // tokens per finished sample
    int32_t *tokens; // [rows, length]
    float *logits;   // [vocabulary]
    uint64_t key;
} Sampler;

static void fill_input(const Sampler *sampler, int64_t known) {
    int64_t shown = known < sampler->context ? known : sampler->context;
    for (int64_t row = 0; row < sampler->rows; row++) {
        int32_t *input = sampler->input + row * sampler->context;
        memset(input, 0, (size_t)sampler->context * sizeof *input);
        memcpy(input, sampler->tokens + row * sampler->length + known - shown, (size_t)shown * sizeof *input);
    }
}

// output: logits[rows, context, vocabulary], in the slot's layout.
static const float *read_logits(const Sampler *sampler, const float *output, int64_t row, int64_t position) {
    for (int64_t v = 0; v < sampler->vocabulary; v++)
        sampler->logits[v] = output[slot_offset(sampler->output_slot, (int64_t[]){row, position, v})];
    return sampler->logits;
}

static RuntimeStatus draw_from(const Sampler *sampler, const float *output, int64_t first_sample, int64_t known) {
    const SampleOptions *options = sampler->options;
    int64_t position = (known < sampler->context ? known : sampler->context) - 1;
    for (int64_t row = 0; row < sampler->rows && first_sample + row < options->num_samples; row++) {
        // 2^32 positions per sample: every (sample, position) has a counter of its own.
        uint64_t counter = (uint64_t)(first_sample + row) << 32 | (uint64_t)known;
        double random = random_uniform(random_bits(sampler->key, counter));
        int32_t token = sample_draw(read_logits(sampler, output, row, position), sampler->drawable,
                                    options->temperature, options->top_k, random);
        if (token < 0) {
            diag_error(sampler->diags, (Place){0}, "sampling: no finite logit at position %lld", (long long)known);
            return RUNTIME_NONFINITE;
        }
        sampler->tokens[row * sampler->length + known] = token;
    }
    return RUNTIME_OK;
}

static RuntimeStatus draw_tokens(const Sampler *sampler, int64_t first_sample, int64_t known) {
    const SampleOptions *options = sampler->options;
    RunResult unread;
    fill_input(sampler, known);
    if (!session_complete(options->session, options->logits, &unread, sampler->diags)) return RUNTIME_IO;
    void *output = session_map(options->session, sampler->output_slot, MAP_READ, sampler->diags);
    if (!output) return RUNTIME_IO;
    RuntimeStatus status = draw_from(sampler, output, first_sample, known);
    bool done = session_unmap(options->session, sampler->output_slot, output, MAP_READ, sampler->diags);
    return status == RUNTIME_OK && !done ? RUNTIME_IO : status;
}

static RuntimeStatus sample_group(const Sampler *sampler, int64_t first_sample) {
    const SampleOptions *options = sampler->options;
    for (int64_t row = 0; row < sampler->rows; row++)
        memcpy(sampler->tokens + row * sampler->length, options->start,
               (size_t)options->start_count * sizeof *options->start);
    for (int64_t known = options->start_count; known < sampler->length; known++) {
        RuntimeStatus status = interrupt_requested() ? RUNTIME_STOPPED : draw_tokens(sampler, first_sample, known);
        if (status != RUNTIME_OK) return status;
    }
    for (int64_t row = 0; row < sampler->rows && first_sample + row < options->num_samples; row++)
        options->done(options->context, first_sample + row, sampler->tokens + row * sampler->length, sampler->length);
    return RUNTIME_OK;
}

static void bind_slots(Sampler *sampler) {
    const SampleOptions *options = sampler->options;
    const ProgramSlot *input = program_slot(options->logits, SLOT_INPUT, "tok");
    const ProgramSlot *output = program_slot(options->logits, SLOT_OUTPUT, "logits");
    CHECK(input && input->rank == 2 && input->is_plain && input->element == ELEMENT_I32);
    CHECK(output && output->rank == 3 && output->element == ELEMENT_F32);
    CHECK(output->extents[0] == input->extents[0] && output->extents[1] == input->extents[1]);
    sampler->input = session_data(options->session, input);
    sampler->output_slot = output;
    sampler->rows = output->extents[0];
    sampler->context = output->extents[1];
    sampler->vocabulary = output->extents[2];
}

static RuntimeStatus check_start(const Sampler *sampler) {
    const SampleOptions *options = sampler->options;
    CHECK(options->start_count >= 1 && options->max_new_tokens >= 0);
    for (int64_t i = 0; i < options->start_count; i++) {
        if (options->start[i] >= 0 && options->start[i] < sampler->vocabulary) continue;
        diag_error(sampler->diags, (Place){0}, "sampling: start token %d, but vocab_size is %lld", options->start[i],
                   (long long)sampler->vocabulary);
        return RUNTIME_BAD_FILE;
    }
    return RUNTIME_OK;
}

RuntimeStatus sample_run(const SampleOptions *options, Diags *diags) {
    Sampler sampler = {.options = options, .diags = diags, .key = random_key(options->seed, "sample")};
    bind_slots(&sampler);
    RuntimeStatus status = check_start(&sampler);
    if (status != RUNTIME_OK) return status;
    bool fewer = options->vocab_size > 0 && options->vocab_size < sampler.vocabulary;
    sampler.drawable = fewer ? options->vocab_size : sampler.vocabulary;
    sampler.length = options->start_count + options->max_new_tokens;
    sampler.tokens = memory_allocate_array((size_t)(sampler.rows * sampler.length), sizeof *sampler.tokens);
    sampler.logits = memory_allocate_array((size_t)sampler.vocabulary, sizeof *sampler.logits);
    for (int64_t first = 0; first < options->num_samples && status == RUNTIME_OK; first += sampler.rows)
        status = sample_group(&sampler, first);
    memory_release(sampler.tokens);
    memory_release(sampler.logits);
    return status;
}
