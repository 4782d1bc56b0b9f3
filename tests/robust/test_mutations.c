// Wrong inputs by the thousand: every reader accepts or refuses with a message, in time and in memory, and gives back
// what it took. Each kind runs in a process of its own, so that a crash is a result, too:
//
//     spec, seed 4711: signal 11; the input is in /tmp/sinter-mutation-spec-4711
//
// SINTER_MUTATIONS says how many of each kind (the gate's number otherwise), SINTER_MUTATION_SEED from which seed,
// SINTER_MUTATION_KIND which kind alone.
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "tests/robust/readers.h"

#ifdef __SANITIZE_ADDRESS__
enum { SECONDS = 8 };
#else
enum { SECONDS = 2 }; // of the processor, for one input
#endif
enum { GATE = 1000, NOTHING_SAID = 90, LEFT_BEHIND = 91, TOO_MUCH_MEMORY = 92, NO_END = 93, BAD_SAMPLE = 94 };

typedef struct {
    const char *name;
    size_t memory;
    Source (*source)(Arena *arena);
    bool (*read)(Arena *arena, Bytes input, Diags *diags);
    Bytes (*repair)(Arena *arena, Bytes input);
} Reader;

static const Reader readers[] = {
#define ROW(name, memory, source, read, repair) {#name, (size_t)(memory) << 20, source, read, repair},
    READERS(ROW)
#undef ROW
};

// What the parent sees of a child that is no more.
typedef struct {
    uint64_t seed, accepted, slowest;
    double slowest_seconds;
    size_t most_memory;
} Progress;
static Progress *progress;

// ---- memory, counted

static size_t taken, most_taken, limit;
static long blocks;

typedef struct {
    size_t bytes, offset;
} Front;

static void *counted_allocate(void *context, size_t bytes, size_t alignment) {
    (void)context;
    if (taken + bytes > limit) _exit(TOO_MUCH_MEMORY);
    size_t offset = alignment < sizeof(Front) ? sizeof(Front) : alignment;
    void *memory = NULL;
    if (posix_memalign(&memory, offset, bytes + offset) != 0) return NULL;
    char *contents = (char *)memory + offset;
    ((Front *)(void *)contents)[-1] = (Front){bytes, offset};
    taken += bytes;
    most_taken = taken > most_taken ? taken : most_taken;
    blocks++;
    return contents;
}

static void counted_release(void *context, void *memory) {
    (void)context;
    Front front = ((Front *)memory)[-1];
    taken -= front.bytes;
    blocks--;
    free((char *)memory - front.offset);
}

static void *counted_malloc(size_t bytes) {
    return counted_allocate(NULL, bytes, 16);
}
static void counted_free(void *memory) {
    if (memory) counted_release(NULL, memory);
}

// ---- one input

static Bytes input_of(Arena *arena, const Reader *reader, const Source *source, uint64_t seed) {
    uint64_t state = seed * 0x2545f4914f6cdd1d + 1;
    for (const char *c = reader->name; *c; c++)
        state = state * 31 + (unsigned char)*c;
    Bytes input = mutated(arena, source, &state);
    return reader->repair && chance_below(&state, 4) ? reader->repair(arena, input) : input;
}

static double processor_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void read_one(const Reader *reader, Bytes input, uint64_t seed) {
    limit = 4 * input.length + reader->memory;
    taken = most_taken = 0;
    blocks = 0;
    double start = processor_seconds();
    setitimer(ITIMER_VIRTUAL, &(struct itimerval){.it_value.tv_sec = SECONDS}, NULL);
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    bool accepted = reader->read(arena, input, diags);
    Text said = text_create(arena);
    diags_render(diags, &said);
    if (!accepted && diags_errors(diags) == 0) _exit(NOTHING_SAID);
    arena_free(arena);
    if (blocks != 0) _exit(LEFT_BEHIND);
    double seconds = processor_seconds() - start;
    if (seconds > progress->slowest_seconds) {
        progress->slowest_seconds = seconds;
        progress->slowest = seed;
    }
    if (most_taken > progress->most_memory) progress->most_memory = most_taken;
    progress->accepted += accepted;
}

static void no_end(int signal) {
    (void)signal;
    _exit(NO_END);
}

// ---- giants: one piece, over and over, alone and behind a sound input

static const char *const pieces[] = {"(",
                                     "[",
                                     "{",
                                     "\"",
                                     "#",
                                     "0",
                                     "-",
                                     "not ",
                                     "x ",
                                     "\n",
                                     "x = 1\n",
                                     "1+",
                                     "a.",
                                     "%0 ",
                                     "keep x\n",
                                     "=",
                                     ",",
                                     "\\",
                                     "x[",
                                     "f(x, ",
                                     "{\"iter\":1}\n",
                                     "{\"a\":",
                                     "[1,",
                                     "\x80",
                                     "dim A=2\n",
                                     "param w[C] as \"w\"\n",
                                     "x = x + x\n",
                                     "%9 = neg f32[] %8\n",
                                     "layer i in 2 as \"{i}\" {\n",
                                     "(\x8c\1a"};
enum { PIECES = sizeof pieces / sizeof *pieces, GIANT = 200000 };

static Bytes giant_of(Arena *arena, const Source *source, size_t number) {
    const char *piece = pieces[number / 2];
    Bytes before = number % 2 ? source->samples[0] : (Bytes){"", 0};
    size_t length = strlen(piece), times = GIANT / length;
    char *bytes = arena_alloc(arena, before.length + times * length + 1);
    memcpy(bytes, before.bytes, before.length);
    for (size_t i = 0; i < times; i++)
        memcpy(bytes + before.length + i * length, piece, length);
    return (Bytes){bytes, before.length + times * length};
}

static Bytes input_number(Arena *arena, const Reader *reader, const Source *source, uint64_t seed, bool giants) {
    return giants ? giant_of(arena, source, (size_t)seed) : input_of(arena, reader, source, seed);
}

static void read_all(const Reader *reader, uint64_t first, uint64_t count, bool giants) {
    signal(SIGVTALRM, no_end);
    Arena *samples = arena_create(), *arena = arena_create();
    Source source = reader->source(samples);
    AllocTable plain = alloc_table;
    for (size_t i = 0; i < source.sample_count; i++) {
        Diags *diags = diags_create(arena);
        if (reader->read(arena, source.samples[i], diags)) continue;
        Text said = text_create(arena);
        diags_render(diags, &said);
        printf("%s: sample %zu is not sound:\n%s%.300s\n", reader->name, i, text_string(&said),
               source.samples[i].bytes);
        exit(BAD_SAMPLE);
    }
    arena_reset(arena);
    for (uint64_t seed = first; seed < first + count; seed++) {
        progress->seed = seed;
        Bytes input = input_number(arena, reader, &source, seed, giants);
        alloc_table.allocate = counted_allocate;
        alloc_table.release = counted_release;
        json_set_alloc_funcs(counted_malloc, counted_free);
        read_one(reader, input, seed);
        json_set_alloc_funcs(malloc, free);
        alloc_table = plain;
        arena_reset(arena);
    }
    arena_free(arena);
    arena_free(samples);
}

// ---- all

static const char *verdict(int status) {
    static char text[80];
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "signal %d", WTERMSIG(status));
    else if (code == NOTHING_SAID)
        return "refused without a word";
    else if (code == LEFT_BEHIND)
        return "memory is left behind";
    else if (code == TOO_MUCH_MEMORY)
        return "it takes too much memory";
    else if (code == NO_END)
        return "no end in the time that it has";
    else
        snprintf(text, sizeof text, "exit code %d", code);
    return text;
}

// The input of a failure, for a debugger, and for the table of tests/robust.
static const char *keep_input(const Reader *reader, uint64_t seed, bool giants) {
    static char path[100];
    Arena *arena = arena_create();
    Source source = reader->source(arena);
    Bytes input = input_number(arena, reader, &source, seed, giants);
    snprintf(path, sizeof path, "/tmp/sinter-%s-%s-%llu", giants ? "giant" : "mutation", reader->name,
             (unsigned long long)seed);
    FILE *file = fopen(path, "wb");
    if (file) {
        fwrite(input.bytes, 1, input.length, file);
        fclose(file);
    }
    arena_free(arena);
    return path;
}

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void read_kind(const Reader *reader, uint64_t first, uint64_t count, bool giants) {
    memset(progress, 0, sizeof *progress);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        read_all(reader, first, count, giants);
        exit(0); // the sanitizer of leaks looks at the process once more
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (status != 0)
        fail_msg("%s, seed %llu: %s; the input is in %s", reader->name, (unsigned long long)progress->seed,
                 verdict(status), keep_input(reader, progress->seed, giants));
    printf("%-10s %7llu inputs, %5.1f %% accepted; slowest %.0f ms (seed %llu), most memory %.1f MiB\n", reader->name,
           (unsigned long long)count, 100 * (double)progress->accepted / (double)count, 1e3 * progress->slowest_seconds,
           (unsigned long long)progress->slowest, (double)progress->most_memory / (1 << 20));
    // Otherwise only the first lines of readers would be tested.
    if (!giants && count >= GATE) assert_true(progress->accepted * 200 >= count);
}

static void read_kinds(uint64_t first, uint64_t count, bool giants) {
    const char *kind = getenv("SINTER_MUTATION_KIND");
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (!kind || strcmp(kind, readers[i].name) == 0) read_kind(&readers[i], first, count, giants);
}

static void mutations(void **state) {
    (void)state;
    read_kinds(number_of("SINTER_MUTATION_SEED", 1), number_of("SINTER_MUTATIONS", GATE), false);
}

static void giants(void **state) {
    (void)state;
    read_kinds(0, 2 * PIECES, true);
}

static char folder[] = "/tmp/sinter-mutations-XXXXXX";

static int set_up(void **state) {
    (void)state;
    progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return progress == MAP_FAILED || !mkdtemp(folder) || setenv("SINTER_MUTATION_FOLDER", folder, 1) != 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0 || munmap(progress, sizeof *progress) != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(mutations), cmocka_unit_test(giants)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
