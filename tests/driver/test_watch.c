// What a person sees of a run, and what it may take: the line with the time left, room on the disk, limits of memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "driver/memory_limit.h"
#include "driver/progress.h"
#include "driver/start.h"

// ---- progress

static const char *line_of(int64_t first, int64_t last, int64_t iteration, double seconds, size_t width) {
    static char line[300];
    Progress progress = {.first = first, .last = last};
    StepRecord record = {.iteration = iteration, .loss = 1.90234, .seconds = 0.00791};
    progress_line(line, width, &progress, &record, seconds);
    return line;
}

static void time_left_at_the_pace_so_far(void **state) {
    (void)state;
    assert_string_equal(line_of(0, 2000, 1240, 10, 80), "iter 1240/2000  62%  loss 1.9023  7.91 ms/iter  0:07 left");
    assert_non_null(strstr(line_of(0, 100, 0, 36, 80), "  1:00:00 left"));
    assert_non_null(strstr(line_of(50, 100, 99, 100, 80), "  0:02 left")); // a resumed run counts its own iterations
    assert_non_null(strstr(line_of(0, 0, 0, 1, 80), "iter 0/0  0%"));
    assert_string_equal(line_of(0, 2000, 1240, 10, 14), "iter 1240/2000");
}

static size_t written(Progress *progress, FILE *file, char *text, size_t size) {
    StepRecord record = {.iteration = 5, .loss = 1, .seconds = 0.01};
    progress_step(progress, &record);
    progress_say(progress, "iter 5: loss");
    progress_end(progress);
    rewind(file);
    size_t length = fread(text, 1, size - 1, file);
    text[length] = '\0';
    fclose(file);
    return length;
}

static void plain_lines_where_there_is_no_terminal(void **state) {
    (void)state;
    char text[1000];
    FILE *file = tmpfile();
    Progress progress = progress_begin(file, false, 0, 10);
    assert_false(progress.is_terminal);
    written(&progress, file, text, sizeof text);
    assert_string_equal(text, "iter 5: loss\n");
    file = tmpfile();
    progress = progress_begin(file, true, 0, 10);
    assert_int_equal(written(&progress, file, text, sizeof text), 0); // quiet
}

static void a_terminal_has_one_line_that_is_written_over(void **state) {
    (void)state;
    char text[1000];
    FILE *file = tmpfile();
    Progress progress = progress_begin(file, false, 0, 10);
    progress.is_terminal = true;
    written(&progress, file, text, sizeof text);
    assert_true(strncmp(text, "iter 5/10  50%  loss 1.0000  10.00 ms/iter  ", 44) == 0);
    const char *cleared = strchr(text, '\r');
    assert_non_null(cleared);
    size_t shown = (size_t)(cleared - text);
    assert_int_equal(strspn(cleared + 1, " "), shown); // all of it
    assert_string_equal(cleared + 1 + shown, "\riter 5: loss\n");
}

// ---- memory

static char root[] = "/tmp/sinter-limits-XXXXXX";

static void put(const char *path, const char *text) {
    char whole[300], command[400];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    snprintf(command, sizeof command, "mkdir -p $(dirname %s)", whole);
    assert_int_equal(system(command), 0);
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void clean(void) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s/*", root);
    assert_int_equal(system(command), 0);
}

static void assert_limit(double bytes, const char *by) {
    MemoryLimit limit = memory_limit(root);
    if (limit.bytes != bytes || (by && strcmp(limit.by, by) != 0)) fail_msg("%.0f by %s", limit.bytes, limit.by);
    clean();
}

static void the_tightest_limit_counts(void **state) {
    (void)state;
    assert_non_null(mkdtemp(root));
    assert_limit(0, NULL); // nothing known
    put("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    1000 kB\n");
    assert_limit(1024000, "the machine");
    put("proc/meminfo", "MemAvailable:    1000 kB\n");
    put("proc/self/cgroup", "0::/job/step\n");
    put("sys/fs/cgroup/job/step/memory.max", "max\n");
    put("sys/fs/cgroup/job/step/memory.current", "7\n");
    assert_limit(1024000, "the machine");
    put("proc/meminfo", "MemAvailable:    1000 kB\n");
    put("proc/self/cgroup", "0::/job/step\n");
    put("sys/fs/cgroup/job/step/memory.max", "900000\n");
    put("sys/fs/cgroup/job/step/memory.current", "100000\n");
    put("sys/fs/cgroup/job/step/memory.stat", "anon 5\ninactive_file 50000\n");
    put("sys/fs/cgroup/job/memory.max", "500000\n"); // the group around it is tighter
    put("sys/fs/cgroup/job/memory.current", "200000\n");
    assert_limit(300000, "its cgroup");
    put("proc/meminfo", "MemAvailable:    1000 kB\n");
    put("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "600000\n"); // a container sees its own group as the root
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n");
    put("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 20000\n");
    assert_limit(520000, "its cgroup");
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/memory.max", "10\n"); // all used up
    put("sys/fs/cgroup/memory.current", "20\n");
    assert_limit(1, "its cgroup");
    assert_int_equal(rmdir(root), 0);
}

// ---- disk

static int64_t room;
static const char *asked;

static int room_of_the_test(const char *path, int64_t *bytes) {
    asked = path;
    *bytes = room;
    return room < 0 ? -1 : 0;
}

// What is said of a disk with that much room before checkpoints of 100 MB.
static const char *said_of_room(int64_t bytes, bool writes) {
    static char text[200];
    room = bytes;
    asked = NULL;
    FileTable before = file_table;
    file_table.room = room_of_the_test;
    Arena *arena = arena_create();
    Command command = {.arena = arena, .diags = diags_create(arena), .config = config_create(arena)};
    declare_train_keys(command.config);
    assert_true(config_assign(command.config, "out_dir", "runs/one", (Place){0}, command.diags));
    FILE *file = tmpfile();
    start_check_room(&command, &(Start){.writes = writes}, 1e8, file);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    if (writes) assert_string_equal(asked, "runs/one");
    arena_free(arena);
    file_table = before;
    return text;
}

static void less_than_two_checkpoints_free_is_said(void **state) {
    (void)state;
    assert_string_equal(said_of_room(199999999, true), "warning: runs/one: 200.0 MB are free, and a checkpoint takes "
                                                       "100.0 MB; there should be room for two\n");
    assert_non_null(strstr(said_of_room(0, true), "runs/one: 0.0 MB are free"));
    assert_string_equal(said_of_room(200000000, true), "");
    assert_string_equal(said_of_room(-1, true), ""); // not known
    assert_string_equal(said_of_room(0, false), ""); // an evaluation writes nothing
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(time_left_at_the_pace_so_far),
                                       cmocka_unit_test(plain_lines_where_there_is_no_terminal),
                                       cmocka_unit_test(a_terminal_has_one_line_that_is_written_over),
                                       cmocka_unit_test(less_than_two_checkpoints_free_is_said),
                                       cmocka_unit_test(the_tightest_limit_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
