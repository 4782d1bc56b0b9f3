#include "driver/progress.h"

#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

static const double between_lines = 0.2; // seconds
enum { WIDEST = 200, USUAL_WIDTH = 80, CLOCK_SIZE = 32 };

Progress progress_begin(FILE *file, bool quiet, int64_t first, int64_t last) {
    bool is_terminal = !quiet && isatty(fileno(file));
    return (Progress){.file = file, .quiet = quiet, .is_terminal = is_terminal,
                      .first = first, .last = last, .start = clock_seconds()};
}

static size_t terminal_width(FILE *file) {
    struct winsize size;
    if (ioctl(fileno(file), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return USUAL_WIDTH;
    return size.ws_col < WIDEST ? size.ws_col : WIDEST;
}

static void clear(Progress *progress) {
    if (progress->shown) fprintf(progress->file, "\r%*s\r", (int)progress->shown, "");
    progress->shown = 0;
}

// 75 -> 1:15, 36000 -> 10:00:00
static void print_clock(char *text, size_t size, double seconds) {
    long long whole = (long long)ceil(fmin(seconds, 1e9)), minutes = whole / 60;
    if (minutes < 60)
        snprintf(text, size, "%lld:%02lld", minutes, whole % 60);
    else
        snprintf(text, size, "%lld:%02lld:%02lld", minutes / 60, minutes % 60, whole % 60);
}

// Time left at the pace so far, evaluations and checkpoints counted.
void progress_line(char *line, size_t width, const Progress *progress, const StepRecord *record, double seconds) {
    double done = (double)(record->iteration - progress->first + 1);
    double left = (double)(progress->last - record->iteration);
    double part = 100 * (double)record->iteration / (progress->last > 0 ? (double)progress->last : 1);
    char time_left[CLOCK_SIZE];
    print_clock(time_left, sizeof time_left, left * seconds / done);
    snprintf(line, width + 1, "iter %lld/%lld  %.0f%%  loss %.4f  %.2f ms/iter  %s left", (long long)record->iteration,
             (long long)progress->last, part, record->loss, 1e3 * record->seconds, time_left);
}

void progress_say(void *context, const char *line) {
    Progress *progress = context;
    if (progress->quiet) return;
    clear(progress);
    fprintf(progress->file, "%s\n", line);
    fflush(progress->file);
}

void progress_step(void *context, const StepRecord *record) {
    Progress *progress = context;
    if (!progress->is_terminal) return;
    double now = clock_seconds();
    if (now - progress->shown_at < between_lines) return;
    char line[WIDEST + 1];
    progress_line(line, terminal_width(progress->file) - 1, progress, record, now - progress->start);
    clear(progress);
    fputs(line, progress->file);
    fflush(progress->file);
    progress->shown = strlen(line);
    progress->shown_at = now;
}

void progress_end(Progress *progress) {
    clear(progress);
    fflush(progress->file);
}
