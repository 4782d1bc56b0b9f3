// Checkpoints that survive: kills at any moment, failures of every call, damage of any byte.
//
// Short by default; KEEP_KILLS=200 in the environment sets how often a saving process is killed at random.
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "runtime/checkpoints.h"
#include "runtime/weights.h"

enum { COUNT = 6000 };

// Two tensors; both hold the number of the save everywhere.
static const ProgramSlot slots[] = {
    {.name = "w", .kind = SLOT_STATE, .is_param = true, .rank = 1, .extents = {COUNT}, .stored_rank = 1,
     .stored_extents = {COUNT}, .is_plain = true, .bytes = 4 * COUNT, .init = 1},
    {.name = "adam.m.w", .kind = SLOT_STATE, .rank = 1, .extents = {COUNT}, .stored_rank = 1, .stored_extents = {COUNT},
     .is_plain = true, .bytes = 4 * COUNT, .buffer = {MEMORY_STATE, 4 * COUNT}, .init = 1},
};
static const Program program = {.name = "step", .slots = slots, .slot_count = 2, .state_bytes = 8 * COUNT,
                                .arena_bytes = 64};

typedef struct {
    ThreadPool *pool;
    Session *session;
} Model;

static Model model_create(Fixture *fixture) {
    static const Program *const programs[] = {&program};
    Model model = {.pool = threads_create(1, false, fixture->diags)};
    assert_int_equal(session_create(programs, 1, model.pool, &model.session, fixture->diags), RUNTIME_OK);
    return model;
}

static void model_free(Model *model) {
    session_free(model->session);
    threads_free(model->pool);
}

static void model_fill(const Model *model, float value) {
    float *values = session_slot_data(model->session, &program, SLOT_STATE, "w");
    for (int i = 0; i < 2 * COUNT; i++)
        values[i] = value;
}

static RuntimeStatus save(Checkpoints *checkpoints, const Model *model, int64_t iteration, int keep_last, bool is_best,
                          Diags *diags) {
    model_fill(model, (float)iteration);
    TensorMetadata metadata = {"note", "a text of some length, so that the header is not empty"};
    CheckpointContents contents = {model->session, &program, &metadata, 1, iteration, is_best, keep_last};
    return checkpoints_save(checkpoints, &contents, diags);
}

static Checkpoints *look(Fixture *fixture) {
    Checkpoints *checkpoints = NULL;
    assert_int_equal(checkpoints_open(fixture->folder, &checkpoints, fixture->diags), RUNTIME_OK);
    return checkpoints;
}

// The iteration of the checkpoint that a run would go on from, all its values seen; -1: none.
static int64_t chosen(Fixture *fixture, Checkpoints *checkpoints, const char **skipped) {
    Arena *arena = arena_create();
    TensorFile *file = NULL;
    Text text = text_create(fixture->arena);
    int64_t iteration = -1;
    if (checkpoints_choose(checkpoints, arena, &file, &text, fixture->diags) == RUNTIME_OK) {
        iteration = atoll(tensor_file_metadata(file, "iter"));
        for (size_t t = 0; t < 2; t++) {
            float *values = ARENA_ARRAY(arena, float, COUNT);
            assert_int_equal(tensor_file_read(file, tensor_file_at(file, t), values, fixture->diags), RUNTIME_OK);
            for (int i = 0; i < COUNT; i++)
                assert_true(values[i] == (float)iteration);
        }
        tensor_file_close(file);
    }
    *skipped = text_string(&text);
    arena_free(arena);
    return iteration;
}

static void add_name(void *context, const char *name) {
    Text *text = context;
    text_append(text, "%s ", name);
}

// Names in the folder, one by one as given: all of them, and no other.
static void assert_names(Fixture *fixture, const char *expected) {
    Text text = text_create(fixture->arena);
    assert_int_equal(file_table.list(fixture->folder, add_name, &text), 0);
    size_t found = 0;
    for (const char *name = strtok(arena_copy(fixture->arena, expected), " "); name; name = strtok(NULL, " ")) {
        found += strlen(name) + 1;
        if (!strstr(text_string(&text), arena_format(fixture->arena, "%s ", name)))
            fail_msg("'%s' is not among: %s", name, text_string(&text));
    }
    if (found != text.length) fail_msg("'%s' expected, there are: %s", expected, text_string(&text));
}

// ---- what is kept

static void the_last_and_the_best_are_kept(void **state) {
    Fixture *fixture = *state;
    Model model = model_create(fixture);
    Checkpoints *checkpoints = look(fixture);
    assert_int_equal(checkpoints_count(checkpoints), 0);
    for (int i = 1; i <= 5; i++)
        assert_int_equal(save(checkpoints, &model, 10 * i, 3, i == 2, fixture->diags), RUNTIME_OK);
    assert_names(fixture, "ckpt.safetensors ckpt-40.safetensors ckpt-30.safetensors ckpt-best.safetensors");
    checkpoints_free(checkpoints);
    checkpoints = look(fixture); // a new process, that keeps less
    assert_int_equal(checkpoints_clean(checkpoints), 0);
    assert_int_equal(save(checkpoints, &model, 60, 2, false, fixture->diags), RUNTIME_OK);
    assert_names(fixture, "ckpt.safetensors ckpt-50.safetensors ckpt-best.safetensors");
    assert_int_equal(save(checkpoints, &model, 70, 1, true, fixture->diags), RUNTIME_OK);
    assert_names(fixture, "ckpt.safetensors ckpt-best.safetensors");
    struct stat newest, best;
    assert_int_equal(stat(fixture_path(fixture, "ckpt.safetensors"), &newest), 0);
    assert_int_equal(stat(fixture_path(fixture, "ckpt-best.safetensors"), &best), 0);
    assert_true(newest.st_ino == best.st_ino); // one file, not two
    checkpoints_free(checkpoints);
    assert_quiet(fixture);
    model_free(&model);
}

// A run from scratch in the folder of one that was further: its saves are the newest all the same.
static void later_saves_are_newer_whatever_their_iteration(void **state) {
    Fixture *fixture = *state;
    Model model = model_create(fixture);
    Checkpoints *checkpoints = look(fixture);
    for (int i = 1; i <= 3; i++)
        save(checkpoints, &model, 1000 * i, 2, true, fixture->diags);
    checkpoints_free(checkpoints);
    checkpoints = look(fixture);
    save(checkpoints, &model, 5, 2, false, fixture->diags);
    assert_names(fixture, "ckpt.safetensors ckpt-3000.safetensors ckpt-best.safetensors");
    checkpoints_free(checkpoints);
    checkpoints = look(fixture);
    const char *skipped;
    assert_int_equal(chosen(fixture, checkpoints, &skipped), 5);
    checkpoints_free(checkpoints);
    model_free(&model);
}

static int no_links(const char *from, const char *to) {
    (void)from, (void)to;
    errno = EPERM;
    return -1;
}

static void file_systems_without_second_names(void **state) {
    Fixture *fixture = *state;
    Model model = model_create(fixture);
    Checkpoints *checkpoints = look(fixture);
    FileTable before = file_table;
    file_table.link = no_links;
    for (int i = 1; i <= 3; i++)
        assert_int_equal(save(checkpoints, &model, i, 2, i == 2, fixture->diags), RUNTIME_OK);
    file_table = before;
    assert_names(fixture, "ckpt.safetensors ckpt-2.safetensors ckpt-best.safetensors");
    const char *skipped;
    assert_int_equal(chosen(fixture, checkpoints, &skipped), 3);
    checkpoints_free(checkpoints);
    model_free(&model);
}

// ---- damage

static void flip(const char *path, long at, int bit) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    int byte = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(byte ^ 1 << bit, file);
    assert_int_equal(fclose(file), 0);
}

static void the_newest_that_verifies_is_taken(void **state) {
    Fixture *fixture = *state;
    Model model = model_create(fixture);
    Checkpoints *checkpoints = look(fixture);
    for (int i = 1; i <= 4; i++)
        save(checkpoints, &model, i, 4, false, fixture->diags);
    checkpoints_free(checkpoints);
    const char *newest = fixture_path(fixture, "ckpt.safetensors"),
               *third = fixture_path(fixture, "ckpt-3.safetensors");
    struct stat facts;
    assert_int_equal(stat(newest, &facts), 0);
    flip(newest, facts.st_size - 5, 3);
    assert_int_equal(truncate(third, facts.st_size - 1), 0);
    checkpoints = look(fixture);
    const char *skipped;
    assert_int_equal(chosen(fixture, checkpoints, &skipped), 2);
    if (!strstr(skipped, "ckpt.safetensors: damaged: tensor 'adam.m.w' does not match its hash\n") ||
        !strstr(skipped, "ckpt-3.safetensors: "))
        fail_msg("skipped: %s", skipped);
    // The damaged newest is replaced, and does not push out a sound one.
    assert_int_equal(save(checkpoints, &model, 3, 3, false, fixture->diags), RUNTIME_OK);
    assert_names(fixture, "ckpt.safetensors ckpt-1.safetensors ckpt-2.safetensors ckpt-3.safetensors");
    assert_int_equal(chosen(fixture, checkpoints, &skipped), 3);
    checkpoints_free(checkpoints);
    for (int i = 1; i <= 3; i++)
        unlink(fixture_path(fixture, arena_format(fixture->arena, "ckpt-%d.safetensors", i)));
    assert_int_equal(truncate(newest, 100), 0);
    checkpoints = look(fixture);
    assert_quiet(fixture);
    assert_int_equal(chosen(fixture, checkpoints, &skipped), -1);
    assert_says(fixture, "no checkpoint to go on from is whole");
    checkpoints_free(checkpoints);
    model_free(&model);
}

// Every bit of the header, and one of each of many bytes behind it.
static void every_flipped_bit_is_found(void **state) {
    Fixture *fixture = *state;
    Model model = model_create(fixture);
    Checkpoints *checkpoints = look(fixture);
    save(checkpoints, &model, 7, 1, false, fixture->diags);
    checkpoints_free(checkpoints);
    const char *path = fixture_path(fixture, "ckpt.safetensors");
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    long header = facts.st_size - 8 * COUNT, missed = 0, tried = 0;
    for (long at = 0; at < facts.st_size; at += at < header ? 1 : 997) {
        for (int bit = 0; bit < 8; bit += at < header ? 1 : 8, tried++) {
            int flipped = at < header ? bit : (int)(at % 8);
            flip(path, at, flipped);
            Arena *arena = arena_create();
            Diags *diags = diags_create(arena);
            TensorFile *file = NULL;
            bool is_sound = tensor_file_open(arena, path, &file, diags) == RUNTIME_OK;
            if (is_sound && tensor_file_verify(file, diags) == RUNTIME_OK) {
                print_message("byte %ld bit %d\n", at, flipped);
                missed++;
            }
            if (is_sound) tensor_file_close(file);
            arena_free(arena);
            flip(path, at, flipped);
        }
    }
    print_message("%ld flips\n", tried);
    assert_int_equal(missed, 0);
    model_free(&model);
}

static void a_file_that_lost_its_hashes_is_refused(void **state) {
    Fixture *fixture = *state;
    Model model = model_create(fixture);
    Checkpoints *checkpoints = look(fixture);
    save(checkpoints, &model, 7, 1, false, fixture->diags);
    checkpoints_free(checkpoints);
    size_t length;
    const char *path = fixture_path(fixture, "ckpt.safetensors");
    char *bytes = fixture_read(fixture, path, &length), *key = memmem(bytes, length, "sinter.hashes", 13);
    assert_non_null(key);
    memcpy(key, "sinter.haches", 13);
    fixture_file(fixture, "ckpt.safetensors", bytes, length);
    TensorFile *file;
    assert_int_equal(tensor_file_open(fixture->arena, path, &file, fixture->diags), RUNTIME_BAD_FILE);
    assert_says(fixture, "its hashes are not there");
    model_free(&model);
}

// ---- interruptions

// A name that an interrupted save left behind is a second name of the newest; a process of the same number must not
// write into it.
static void leftovers_are_removed_and_never_written_into(void **state) {
    Fixture *fixture = *state;
    Model model = model_create(fixture);
    Checkpoints *checkpoints = look(fixture);
    save(checkpoints, &model, 1, 2, false, fixture->diags);
    const char *newest = fixture_path(fixture, "ckpt.safetensors");
    const char *mine = arena_format(fixture->arena, "%s.tmp.%ld", newest, (long)getpid());
    assert_int_equal(link(newest, mine), 0);
    FileTable before = file_table;
    file_table.rename = no_links; // the save fails after it has written
    assert_int_equal(save(checkpoints, &model, 2, 1, false, fixture->diags), RUNTIME_IO);
    file_table = before;
    checkpoints_free(checkpoints);
    fixture_messages(fixture);
    static const char *const left[] = {"ckpt.safetensors.tmp.12", "ckpt-best.safetensors.tmp.1",
                                       "metrics.jsonl.tmp.99"};
    static const char *const others[] = {"ckpt.tmp.x", "notes.tmp.1", "ckpt-a.safetensors"};
    for (int i = 0; i < 3; i++) {
        fixture_file(fixture, left[i], "x", 1);
        fixture_file(fixture, others[i], "x", 1);
    }
    checkpoints = look(fixture);
    assert_int_equal(checkpoints_clean(checkpoints), 3);
    assert_names(fixture, "ckpt.safetensors ckpt.tmp.x notes.tmp.1 ckpt-a.safetensors");
    const char *skipped;
    assert_int_equal(chosen(fixture, checkpoints, &skipped), 1);
    checkpoints_free(checkpoints);
    model_free(&model);
}

// After whatever happened: nothing acknowledged is lost, nothing is damaged, nothing is left over after a start.
static void assert_whole(Fixture *fixture, int64_t acknowledged) {
    Checkpoints *checkpoints = look(fixture);
    const char *skipped;
    checkpoints_clean(checkpoints);
    int64_t iteration = chosen(fixture, checkpoints, &skipped);
    if (iteration < acknowledged || *skipped)
        fail_msg("acknowledged %lld, found %lld, skipped: %s", (long long)acknowledged, (long long)iteration, skipped);
    Text names = text_create(fixture->arena);
    file_table.list(fixture->folder, add_name, &names);
    if (strstr(text_string(&names), ".tmp.")) fail_msg("left over: %s", text_string(&names));
    // one that was to be removed when the save ended is removed by the next one
    if (checkpoints_count(checkpoints) > 5) fail_msg("too many: %s", text_string(&names));
    checkpoints_free(checkpoints);
    fixture_messages(fixture);
}

static void assert_saves_on(Fixture *fixture, const Model *model) {
    Checkpoints *checkpoints = look(fixture);
    assert_int_equal(save(checkpoints, model, 5, 3, false, fixture->diags), RUNTIME_OK);
    assert_int_equal(checkpoints_count(checkpoints), 4);
    checkpoints_free(checkpoints);
    assert_whole(fixture, 5);
}

// A child that saves and says so; it dies by itself, or is killed.
static void save_forever(Fixture *fixture, int pipe_end, int64_t first, int64_t last) {
    Model model = model_create(fixture);
    Checkpoints *checkpoints = look(fixture);
    checkpoints_clean(checkpoints);
    for (int64_t iteration = first; iteration <= last; iteration++) {
        if (save(checkpoints, &model, iteration, 3, iteration % 3 == 0, fixture->diags) != RUNTIME_OK) _exit(1);
        if (write(pipe_end, &iteration, sizeof iteration) != sizeof iteration) _exit(2);
    }
    _exit(0);
}

static int64_t last_acknowledged(int pipe_end, int64_t before) {
    int64_t iteration = before, next;
    while (read(pipe_end, &next, sizeof next) == sizeof next)
        iteration = next;
    close(pipe_end);
    return iteration;
}

static void killed_at_random(void **state) {
    Fixture *fixture = *state;
    const char *wanted = getenv("KEEP_KILLS");
    int kills = wanted ? atoi(wanted) : 25;
    int64_t acknowledged = 0, saved = 0;
    unsigned random = 12345;
    for (int i = 0; i < kills; i++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) save_forever(fixture, ends[1], acknowledged + 1, INT32_MAX);
        close(ends[1]);
        random = random * 1103515245 + 12345;
        nanosleep(&(struct timespec){0, (long)(random >> 8) % 50000 * 1000}, NULL);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        int64_t now = last_acknowledged(ends[0], acknowledged);
        saved += now - acknowledged;
        acknowledged = now;
        if (acknowledged > 0) assert_whole(fixture, acknowledged);
    }
    print_message("%d kills, %lld saves acknowledged\n", kills, (long long)saved);
    assert_true(saved > 0);
}

// ---- every call, one after the other

typedef enum { DIE, FAIL_EIO, FAIL_ENOSPC, SHORT } Trouble;
static int calls_left;  // until the trouble; -1: none
static Trouble trouble;
static int synced_after_failure; // fsync calls on a file whose fsync has failed
static int failed_file = -1;
static FileTable real;

// Whether this call is the one.
static bool troubles_now(void) {
    if (calls_left < 0 || calls_left-- > 0) return false;
    if (trouble == DIE) _exit(9);
    errno = trouble == FAIL_ENOSPC ? ENOSPC : EIO;
    return trouble != SHORT;
}
static int counted_open(const char *path, int flags, unsigned mode) {
    return troubles_now() ? -1 : real.open(path, flags, mode);
}
static ssize_t counted_write(int file, const void *bytes, size_t count) {
    bool is_short = trouble == SHORT && calls_left == 0 && count > 1;
    return troubles_now() ? -1 : real.write(file, bytes, is_short ? count / 2 : count);
}
static ssize_t counted_pwrite(int file, const void *bytes, size_t count, off_t offset) {
    bool is_short = trouble == SHORT && calls_left == 0 && count > 1;
    return troubles_now() ? -1 : real.pwrite(file, bytes, is_short ? count / 2 : count, offset);
}
static int counted_sync(int file) {
    if (file == failed_file) synced_after_failure++;
    if (!troubles_now()) return real.sync(file);
    failed_file = file;
    return -1;
}
static int counted_close(int file) {
    if (file == failed_file) failed_file = -1;
    bool fails = troubles_now();
    int result = real.close(file);
    return fails ? -1 : result;
}
static int counted_rename(const char *from, const char *to) {
    return troubles_now() ? -1 : real.rename(from, to);
}
static int counted_link(const char *from, const char *to) {
    return troubles_now() ? -1 : real.link(from, to);
}
static int counted_remove(const char *path) {
    return troubles_now() ? -1 : real.remove(path);
}

static void count_calls(Trouble which, int at) {
    trouble = which;
    calls_left = at;
    failed_file = -1;
    file_table.open = counted_open;
    file_table.write = counted_write;
    file_table.pwrite = counted_pwrite;
    file_table.sync = counted_sync;
    file_table.close = counted_close;
    file_table.rename = counted_rename;
    file_table.link = counted_link;
    file_table.remove = counted_remove;
}

// A folder with three saves; the fourth, which is the best, meets the trouble at call `at`. -1: it was done before.
static RuntimeStatus save_with_trouble(Fixture *fixture, const Model *model, Trouble which, int at) {
    Checkpoints *checkpoints = look(fixture);
    for (int i = 1; i <= 3; i++)
        assert_int_equal(save(checkpoints, model, i, 3, i == 1, fixture->diags), RUNTIME_OK);
    count_calls(which, at);
    RuntimeStatus status = save(checkpoints, model, 4, 3, true, fixture->diags);
    file_table = real;
    checkpoints_free(checkpoints);
    return status;
}

static void empty(Fixture *fixture) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'/*", fixture->folder);
    assert_int_equal(system(command), 0);
}

static int killed_at(Fixture *fixture, const Model *model, int at) {
    pid_t child = fork();
    if (child == 0) _exit(save_with_trouble(fixture, model, DIE, at) == RUNTIME_OK ? 0 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void killed_at_every_call(void **state) {
    Fixture *fixture = *state;
    real = file_table;
    Model model = model_create(fixture);
    int calls = 0;
    for (int died = 9; died == 9; calls++) {
        died = killed_at(fixture, &model, calls);
        assert_true(died == 9 || died == 0);
        assert_whole(fixture, died == 9 ? 3 : 4);
        assert_saves_on(fixture, &model);
        empty(fixture);
    }
    print_message("killed at %d calls\n", calls - 1);
    assert_true(calls > 15);
    model_free(&model);
}

static void every_call_fails(void **state) {
    Fixture *fixture = *state;
    static const Trouble troubles[] = {FAIL_EIO, FAIL_ENOSPC, SHORT};
    real = file_table;
    Model model = model_create(fixture);
    int failed = 0, calls = 0;
    for (size_t t = 0; t < sizeof troubles / sizeof *troubles; t++) {
        for (int at = 0;; at++, calls++) {
            RuntimeStatus status = save_with_trouble(fixture, &model, troubles[t], at);
            bool was_reached = calls_left < 0;
            if (status != RUNTIME_OK) {
                assert_int_equal(status, RUNTIME_IO);
                assert_true(was_reached && troubles[t] != SHORT);
                assert_true(strlen(fixture_messages(fixture)) > 0);
                failed++;
            }
            assert_whole(fixture, status == RUNTIME_OK ? 4 : 3);
            assert_saves_on(fixture, &model);
            empty(fixture);
            if (!was_reached) break;
        }
    }
    assert_int_equal(synced_after_failure, 0);
    print_message("%d troubles, %d failed saves\n", calls, failed);
    assert_true(failed > 15);
    model_free(&model);
}

// The process that met a failure saves again: from a clean file, and with all that was there before.
static void a_failed_save_can_be_repeated(void **state) {
    Fixture *fixture = *state;
    real = file_table;
    Model model = model_create(fixture);
    for (int at = 0;; at++) {
        Checkpoints *checkpoints = look(fixture);
        save(checkpoints, &model, 1, 2, false, fixture->diags);
        count_calls(FAIL_EIO, at);
        save(checkpoints, &model, 2, 2, true, fixture->diags);
        bool was_reached = calls_left < 0;
        file_table = real;
        assert_int_equal(save(checkpoints, &model, 3, 2, true, fixture->diags), RUNTIME_OK);
        checkpoints_free(checkpoints);
        assert_whole(fixture, 3);
        empty(fixture);
        if (!was_reached) break;
    }
    model_free(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(the_last_and_the_best_are_kept),
        FIXTURE_TEST(later_saves_are_newer_whatever_their_iteration),
        FIXTURE_TEST(file_systems_without_second_names),
        FIXTURE_TEST(the_newest_that_verifies_is_taken),
        FIXTURE_TEST(every_flipped_bit_is_found),
        FIXTURE_TEST(a_file_that_lost_its_hashes_is_refused),
        FIXTURE_TEST(leftovers_are_removed_and_never_written_into),
        FIXTURE_TEST(killed_at_random),
        FIXTURE_TEST(killed_at_every_call),
        FIXTURE_TEST(every_call_fails),
        FIXTURE_TEST(a_failed_save_can_be_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
