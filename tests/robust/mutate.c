#include "tests/robust/mutate.h"

#include <string.h>

// splitmix64 (Steele, Lea and Flood, OOPSLA 2014)
uint64_t chance_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

uint64_t chance_below(uint64_t *state, uint64_t bound) {
    return bound ? chance_next(state) % bound : 0;
}

Bytes bytes_copy(Arena *arena, const char *bytes, size_t length) {
    return (Bytes){arena_copy_range(arena, bytes, length), length};
}

typedef struct {
    Arena *arena;
    const Source *source;
    uint64_t *state;
    Bytes now;
} Mutation;

static size_t below(Mutation *m, size_t bound) {
    return (size_t)chance_below(m->state, bound);
}

// [from, to) becomes `bytes`.
static void replace(Mutation *m, size_t from, size_t to, const char *bytes, size_t count) {
    size_t length = m->now.length - (to - from) + count;
    char *grown = arena_alloc(m->arena, length + 1);
    memcpy(grown, m->now.bytes, from);
    memcpy(grown + from, bytes, count);
    memcpy(grown + from + count, m->now.bytes + to, m->now.length - to);
    m->now = (Bytes){grown, length};
}

// A stretch, mostly short.
static void stretch(Mutation *m, size_t *from, size_t *to) {
    *from = below(m, m->now.length + 1);
    size_t most = m->now.length - *from, length = below(m, 4) ? below(m, 12) + 1 : below(m, most + 1);
    *to = *from + (length < most ? length : most);
}

// ---- bytes

static void flip_bit(Mutation *m) {
    if (m->now.length) m->now.bytes[below(m, m->now.length)] ^= (char)(1 << below(m, 8));
}

static void change_byte(Mutation *m) {
    static const unsigned char odd[] = {0, 1, 0x0a, 0x22, 0x7f, 0x80, 0xff, 0xc3, 0xed, 0xf4};
    if (!m->now.length) return;
    unsigned char byte = below(m, 2) ? odd[below(m, sizeof odd)] : (unsigned char)below(m, 256);
    m->now.bytes[below(m, m->now.length)] = (char)byte;
}

static void remove_bytes(Mutation *m) {
    size_t from, to;
    stretch(m, &from, &to);
    replace(m, from, to, "", 0);
}

static void truncate_end(Mutation *m) {
    replace(m, below(m, m->now.length + 1), m->now.length, "", 0);
}

static void double_bytes(Mutation *m) {
    size_t from, to;
    stretch(m, &from, &to);
    replace(m, to, to, bytes_copy(m->arena, m->now.bytes + from, to - from).bytes, to - from);
}

static void insert_bytes(Mutation *m) {
    char bytes[16];
    size_t at = below(m, m->now.length + 1), count = below(m, sizeof bytes) + 1;
    for (size_t i = 0; i < count; i++)
        bytes[i] = (char)below(m, 256);
    replace(m, at, at, bytes, count);
}

// A little-endian number of 1 to 8 bytes at the edge of its type.
static void binary_number(Mutation *m) {
    static const uint64_t edges[] = {0,
                                     1,
                                     0x7f,
                                     0xff,
                                     0x7fff,
                                     0xffff,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffffffff,
                                     0x7fffffffffffffff,
                                     0x8000000000000000,
                                     0xffffffffffffffff};
    size_t width = (size_t)1 << below(m, 4);
    if (m->now.length < width) return;
    uint64_t number = edges[below(m, sizeof edges / sizeof *edges)];
    size_t at = below(m, 3) ? below(m, m->now.length - width + 1) : 0;
    for (size_t i = 0; i < width; i++)
        m->now.bytes[at + i] = (char)(number >> 8 * i);
}

// ---- text

static int is_digit(char c) {
    return c >= '0' && c <= '9';
}
static int is_word(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Some word or number of the text, by walking on from a random place. False when there is none.
static int find_word(Mutation *m, int numbers, size_t *from, size_t *to) {
    if (!m->now.length) return 0;
    size_t start = below(m, m->now.length);
    for (size_t step = 0; step < m->now.length; step++) {
        size_t at = (start + step) % m->now.length;
        char c = m->now.bytes[at], before = at ? m->now.bytes[at - 1] : ' ';
        if (!(numbers ? is_digit(c) : is_word(c)) || is_word(before)) continue;
        *from = *to = at;
        while (*to < m->now.length && is_word(m->now.bytes[*to]))
            ++*to;
        return 1;
    }
    return 0;
}

static void change_number(Mutation *m) {
    static const char *const edges[] = {"0",
                                        "1",
                                        "2",
                                        "-1",
                                        "3",
                                        "7",
                                        "64",
                                        "65",
                                        "4095",
                                        "4097",
                                        "1048576",
                                        "2147483647",
                                        "2147483648",
                                        "4294967295",
                                        "4294967296",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "18446744073709551615",
                                        "18446744073709551616",
                                        "1e308",
                                        "1e-400",
                                        "1e999",
                                        "0.5",
                                        "-0.0",
                                        "nan",
                                        "inf",
                                        "0x10",
                                        "007",
                                        "1_000",
                                        "99999999999999999999999999999999999999999999"};
    size_t from, to;
    if (!find_word(m, 1, &from, &to)) return;
    const char *number = edges[below(m, sizeof edges / sizeof *edges)];
    replace(m, from, to, number, strlen(number));
}

static const char *some_word(Mutation *m) {
    size_t count = 0;
    while (m->source->words[count])
        count++;
    return count ? m->source->words[below(m, count)] : "";
}

static void change_word(Mutation *m) {
    size_t from, to;
    if (!find_word(m, 0, &from, &to)) return;
    const char *word = some_word(m);
    replace(m, from, to, word, strlen(word));
}

static void insert_word(Mutation *m) {
    size_t at = below(m, m->now.length + 1);
    const char *word = some_word(m);
    replace(m, at, at, word, strlen(word));
}

// One word of the text in the place of another.
static void move_word(Mutation *m) {
    size_t from, to, other, end;
    if (!find_word(m, 0, &from, &to) || !find_word(m, 0, &other, &end)) return;
    Bytes word = bytes_copy(m->arena, m->now.bytes + from, to - from);
    replace(m, other, end, word.bytes, word.length);
}

static void find_line(Mutation *m, size_t *from, size_t *to) {
    *from = below(m, m->now.length + 1);
    while (*from > 0 && m->now.bytes[*from - 1] != '\n')
        --*from;
    for (*to = *from; *to < m->now.length && m->now.bytes[(*to)++] != '\n';)
        continue;
}

static void remove_line(Mutation *m) {
    size_t from, to;
    find_line(m, &from, &to);
    replace(m, from, to, "", 0);
}

static void move_line(Mutation *m) {
    size_t from, to, at, end;
    find_line(m, &from, &to);
    Bytes line = bytes_copy(m->arena, m->now.bytes + from, to - from);
    if (below(m, 2)) replace(m, from, to, "", 0);
    find_line(m, &at, &end);
    replace(m, at, at, line.bytes, line.length);
}

static void nest(Mutation *m) {
    static const char *const pieces[] = {
        "(", "[", "{", "-", "not ", "{\"a\":", "\"", "layer j in 2 as \"{j}\" {\n", "a + (", "x[", "}"};
    const char *piece = pieces[below(m, sizeof pieces / sizeof *pieces)];
    size_t length = strlen(piece), times = below(m, 4) ? below(m, 40) + 1 : 5000, at = below(m, m->now.length + 1);
    char *bytes = arena_alloc(m->arena, length * times + 1);
    for (size_t i = 0; i < times; i++)
        memcpy(bytes + i * length, piece, length);
    replace(m, at, at, bytes, length * times);
}

// The beginning of this one, the end of another.
static void join(Mutation *m) {
    const Bytes *other = &m->source->samples[below(m, m->source->sample_count)];
    size_t from = below(m, m->now.length + 1), end = below(m, other->length + 1);
    replace(m, from, m->now.length, other->bytes + end, other->length - end);
}

static void (*const mutations[])(Mutation *) = {
    flip_bit,      change_byte,   remove_bytes,  truncate_end, double_bytes, insert_bytes,
    binary_number, change_number, change_number, change_word,  change_word,  insert_word,
    move_word,     move_word,     remove_line,   move_line,    nest,         join,
};

Bytes mutated(Arena *arena, const Source *source, uint64_t *state) {
    Mutation m = {arena, source, state, {0}};
    const Bytes *sample = &source->samples[below(&m, source->sample_count)];
    m.now = bytes_copy(arena, sample->bytes, sample->length);
    for (size_t times = 1 + (below(&m, 2) ? below(&m, 4) : 0); times > 0; times--)
        mutations[below(&m, sizeof mutations / sizeof *mutations)](&m);
    return m.now;
}
