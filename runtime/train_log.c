#include "runtime/train_log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { LINE_SIZE = 512, NUMBER_SIZE = 32 };

// 97100 -> "97,100"
static const char *with_commas(double value, char *out) {
    char digits[NUMBER_SIZE];
    int length = snprintf(digits, sizeof digits, "%.0f", fmin(value, 1e15)), put = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) out[put++] = ',';
        out[put++] = digits[i];
    }
    out[put] = '\0';
    return out;
}

void log_step(char *line, size_t size, const StepRecord *record, double running_mfu) {
    char tokens[2 * NUMBER_SIZE];
    snprintf(line, size, "iter %lld: loss %.4f, time %.2fms, mfu %.2f%%, tok/s %s", (long long)record->iteration,
             record->loss, record->seconds * 1000, running_mfu * 100, with_commas(record->tokens_per_second, tokens));
}

void log_evaluation(char *line, size_t size, int64_t iteration, double train_loss, double validation_loss) {
    snprintf(line, size, "step %lld: train loss %.4f, val loss %.4f", (long long)iteration, train_loss,
             validation_loss);
}

struct Metrics {
    MemoryOwned owned;
    char *path;
    int file;
};

// Bytes of the lines before the first that is torn, or of iteration `first` or later.
static size_t length_before(const char *lines, size_t length, int64_t first) {
    static const char start[] = "{\"iter\":";
    for (size_t at = 0; at < length;) {
        const char *line = lines + at, *end = memchr(line, '\n', length - at);
        if (!end) return at;
        if (strncmp(line, start, sizeof start - 1) == 0 && strtoll(line + sizeof start - 1, NULL, 10) >= first)
            return at;
        at = (size_t)(end + 1 - lines);
    }
    return length;
}

static bool keep_before(Arena *arena, const char *path, int64_t first, Diags *diags) {
    enum { LARGEST = 1 << 30 };
    size_t length;
    if (!file_exists(path)) return true;
    const char *lines = file_read_all(arena, path, LARGEST, &length, diags);
    if (!lines) return false;
    size_t kept = length_before(lines, length, first);
    if (kept == length) return true;
    FileWriter *writer = file_writer_open(arena, path, diags);
    if (!writer) return false;
    if (file_writer_write(writer, lines, kept, diags)) return file_writer_commit(writer, diags);
    file_writer_abandon(writer);
    return false;
}

static void close_metrics(void *metrics) {
    metrics_close(metrics);
}

RuntimeStatus metrics_open(Arena *arena, const char *path, int64_t first, Metrics **result, Diags *diags) {
    if (first > 0 && !keep_before(arena, path, first, diags)) return RUNTIME_IO;
    Metrics *metrics = ARENA_NEW(arena, Metrics);
    metrics->path = arena_copy(arena, path);
    metrics->file = file_table.open(path, O_WRONLY | O_CREAT | (first > 0 ? O_APPEND : O_TRUNC), 0644);
    if (metrics->file < 0) {
        diag_error(diags, (Place){0}, "%s: cannot create: %s", path, strerror(errno));
        return RUNTIME_IO;
    }
    memory_own(&metrics->owned, close_metrics, metrics);
    *result = metrics;
    return RUNTIME_OK;
}

static const char *number(double value, char *out) {
    if (isfinite(value))
        snprintf(out, NUMBER_SIZE, "%.9g", value);
    else
        strcpy(out, "null");
    return out;
}

static RuntimeStatus put(Metrics *metrics, const char *line, Diags *diags) {
    return file_write_all(metrics->file, metrics->path, line, strlen(line), diags) ? RUNTIME_OK : RUNTIME_IO;
}

RuntimeStatus metrics_step(Metrics *metrics, const StepRecord *record, Diags *diags) {
    char line[LINE_SIZE], norm[NUMBER_SIZE + 16] = "", scale[NUMBER_SIZE + 16] = "", n[6][NUMBER_SIZE];
    if (record->has_grad_norm) snprintf(norm, sizeof norm, "\"grad_norm\":%s,", number(record->grad_norm, n[0]));
    if (record->loss_scale > 0)
        snprintf(scale, sizeof scale, "\"loss_scale\":%s,", number(record->loss_scale, n[5]));
    snprintf(line, sizeof line, "{\"iter\":%lld,\"loss\":%s,%s%s\"lr\":%s,\"ms\":%s,\"tok_s\":%s}\n",
             (long long)record->iteration, number(record->loss, n[1]), norm, scale, number(record->learning_rate, n[2]),
             number(record->seconds * 1000, n[3]), number(record->tokens_per_second, n[4]));
    return put(metrics, line, diags);
}

RuntimeStatus metrics_evaluation(Metrics *metrics, int64_t iteration, double train_loss, double validation_loss,
                                 Diags *diags) {
    char line[LINE_SIZE], n[2][NUMBER_SIZE];
    snprintf(line, sizeof line, "{\"iter\":%lld,\"train_loss\":%s,\"val_loss\":%s}\n", (long long)iteration,
             number(train_loss, n[0]), number(validation_loss, n[1]));
    return put(metrics, line, diags);
}

void metrics_close(Metrics *metrics) {
    if (!metrics) return;
    memory_disown(&metrics->owned);
    file_table.close(metrics->file);
}
