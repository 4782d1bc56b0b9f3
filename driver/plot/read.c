// A run from its metrics file: see plot.h. One JSON object a line, as runtime/train_log.h writes them.
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "driver/plot/plot.h"
#include "runtime/json_text.h"

enum { LARGEST_METRICS = 1 << 30 };

typedef struct {
    Arena *arena;
    Run *run;
    size_t step_capacity, evaluation_capacity;
    double seconds;
} Reading;

static bool is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static double number(const json_t *record, const char *key) {
    const json_t *value = json_object_get(record, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

// A resumed run may have gone back: what it repeats is forgotten.
static void forget_from(Reading *reading, int64_t iteration) {
    Run *run = reading->run;
    while (run->step_count > 0 && run->steps[run->step_count - 1].iteration >= iteration)
        run->step_count--;
    reading->seconds = run->step_count ? run->steps[run->step_count - 1].seconds : 0;
}

static void add_step(Reading *reading, int64_t iteration, const json_t *record) {
    forget_from(reading, iteration);
    double ms = number(record, "ms");
    reading->seconds += isfinite(ms) && ms > 0 ? 1e-3 * ms : 0;
    Run *run = reading->run;
    run->steps =
        arena_grow(reading->arena, run->steps, &reading->step_capacity, run->step_count + 1, sizeof *run->steps);
    run->steps[run->step_count++] = (RunStep){.iteration = iteration,
                                              .seconds = reading->seconds,
                                              .loss = number(record, "loss"),
                                              .grad_norm = number(record, "grad_norm"),
                                              .tokens_per_second = number(record, "tok_s")};
}

static void add_evaluation(Reading *reading, int64_t iteration, const json_t *record) {
    Run *run = reading->run;
    while (run->evaluation_count > 0 && run->evaluations[run->evaluation_count - 1].iteration >= iteration)
        run->evaluation_count--;
    run->evaluations = arena_grow(reading->arena, run->evaluations, &reading->evaluation_capacity,
                                  run->evaluation_count + 1, sizeof *run->evaluations);
    run->evaluations[run->evaluation_count++] = (RunEvaluation){.iteration = iteration,
                                                                .seconds = reading->seconds,
                                                                .train_loss = number(record, "train_loss"),
                                                                .validation_loss = number(record, "val_loss")};
}

// NULL, or what is wrong with the line.
static const char *read_line(Reading *reading, const char *line, size_t length) {
    json_error_t error;
    JsonText text;
    if (!json_text_read(&text, line, length, JSON_REJECT_DUPLICATES, &error))
        return arena_format(reading->arena, "not JSON: %s", error.text);
    const json_t *record = text.root;
    const char *wrong = NULL;
    const json_t *iteration = json_object_get(record, "iter");
    if (!json_is_integer(iteration) || json_integer_value(iteration) < 0)
        wrong = "no record of a training: it has no \"iter\"";
    else if (json_object_get(record, "val_loss"))
        add_evaluation(reading, json_integer_value(iteration), record);
    else
        add_step(reading, json_integer_value(iteration), record);
    json_text_free(&text);
    return wrong;
}

static bool read_lines(Reading *reading, const char *path, const char *text, Diags *diags) {
    unsigned number_of_line = 0;
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        bool is_whole = line[length] == '\n';
        number_of_line++;
        const char *wrong = length ? read_line(reading, line, length) : NULL;
        if (wrong && !is_whole && number_of_line > 1)
            reading->run->is_cut = true;
        else if (wrong)
            return diag_error(diags, (Place){0}, "%s:%u: %s", path, number_of_line, wrong);
        line += length + is_whole;
    }
    return true;
}

bool run_read(Arena *arena, const char *path, Run *run, Diags *diags) {
    *run = (Run){.name = path};
    const char *file = is_folder(path) ? arena_format(arena, "%s/metrics.jsonl", path) : path;
    if (file != path && !file_exists(file))
        return diag_error(diags, (Place){0},
                          "%s has no metrics.jsonl: not the out_dir of a training, or one with --metrics", path);
    size_t length = 0;
    const char *text = file_read_all(arena, file, LARGEST_METRICS, &length, diags);
    if (!text) return false;
    if (strlen(text) != length) return diag_error(diags, (Place){0}, "%s: not a metrics file: it has zero bytes", file);
    Reading reading = {.arena = arena, .run = run};
    if (!read_lines(&reading, file, text, diags)) return false;
    if (run->step_count + run->evaluation_count == 0)
        return diag_error(diags, (Place){0}, "%s: no record of any iteration", file);
    return true;
}
