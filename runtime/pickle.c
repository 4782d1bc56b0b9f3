// The machine of Python's pickle, cut down to what a dict of dicts of strings and small integers needs: a stack of
// values, one list of marks, a memo. Protocol description: Lib/pickletools.py of CPython.
#include "runtime/pickle.h"

#include <string.h>

#include "runtime/utf8.h"

enum {
    PICKLE_PROTO = 0x80,
    PICKLE_FRAME = 0x95,
    PICKLE_STOP = '.',
    PICKLE_MARK = '(',
    PICKLE_EMPTY_DICT = '}',
    PICKLE_SETITEM = 's',
    PICKLE_SETITEMS = 'u',
    PICKLE_BININT = 'J',
    PICKLE_BININT1 = 'K',
    PICKLE_BININT2 = 'M',
    PICKLE_SHORT_BINUNICODE = 0x8c,
    PICKLE_BINUNICODE = 'X',
    PICKLE_MEMOIZE = 0x94,
    PICKLE_BINPUT = 'q',
    PICKLE_LONG_BINPUT = 'r',
    PICKLE_BINGET = 'h',
    PICKLE_LONG_BINGET = 'j'
};

typedef enum { VALUE_INTEGER, VALUE_STRING, VALUE_DICT, VALUE_MARK } ValueKind;

typedef struct Dict Dict;
typedef struct {
    ValueKind kind;
    int64_t integer;
    const char *text; // VALUE_STRING, NUL-terminated copy
    size_t length;
    Dict *dict;
} Value;

struct Dict {
    Value *items;           // key, value, key, value ...
    size_t count, capacity; // of values
};

typedef struct {
    Arena *arena;
    const char *path;
    const unsigned char *bytes;
    size_t length, at;
    Value *stack, *memo;
    size_t stack_count, stack_capacity, memo_count, memo_capacity;
    Diags *diags;
} Machine;

#define REFUSE(machine, ...)                                                                                           \
    diag_error((machine)->diags, (Place){0}, "%s: byte %zu: %s", (machine)->path, (machine)->at,                       \
               arena_format((machine)->arena, __VA_ARGS__))

// A little-endian number of `count` bytes at the cursor.
static bool take_number(Machine *machine, size_t count, uint64_t *number) {
    if (machine->length - machine->at < count)
        return REFUSE(machine, "the pickle ends in the middle of an instruction");
    *number = 0;
    for (size_t i = count; i-- > 0;)
        *number = *number << 8 | machine->bytes[machine->at + i];
    machine->at += count;
    return true;
}

static bool push(Machine *machine, Value value) {
    machine->stack = arena_grow(machine->arena, machine->stack, &machine->stack_capacity, machine->stack_count + 1,
                                sizeof *machine->stack);
    machine->stack[machine->stack_count++] = value;
    return true;
}

static bool push_integer(Machine *machine, size_t bytes) {
    uint64_t number = 0;
    if (!take_number(machine, bytes, &number)) return false;
    return push(machine,
                (Value){.kind = VALUE_INTEGER, .integer = bytes == 4 ? (int32_t)(uint32_t)number : (int64_t)number});
}

static bool push_string(Machine *machine, size_t length_bytes) {
    uint64_t length;
    if (!take_number(machine, length_bytes, &length)) return false;
    if (length > machine->length - machine->at)
        return REFUSE(machine, "a string of %llu bytes goes past the end", (unsigned long long)length);
    const char *text = arena_copy_range(machine->arena, (const char *)machine->bytes + machine->at, (size_t)length);
    machine->at += (size_t)length;
    return push(machine, (Value){.kind = VALUE_STRING, .text = text, .length = (size_t)length});
}

static bool store_memo(Machine *machine, uint64_t place) {
    if (machine->stack_count == 0) return REFUSE(machine, "nothing to remember");
    if (place != machine->memo_count) // Python numbers them in order
        return REFUSE(machine, "memo entry %llu out of order", (unsigned long long)place);
    machine->memo = arena_grow(machine->arena, machine->memo, &machine->memo_capacity, machine->memo_count + 1,
                               sizeof *machine->memo);
    machine->memo[machine->memo_count++] = machine->stack[machine->stack_count - 1];
    return true;
}

static bool load_memo(Machine *machine, size_t bytes) {
    uint64_t place;
    if (!take_number(machine, bytes, &place)) return false;
    if (place >= machine->memo_count)
        return REFUSE(machine, "memo entry %llu does not exist", (unsigned long long)place);
    return push(machine, machine->memo[place]);
}

// Everything above `first` on the stack goes into the dict just below it.
static bool set_items(Machine *machine, size_t first, size_t below) {
    size_t count = machine->stack_count - first;
    if (below == 0 || machine->stack[below - 1].kind != VALUE_DICT || count % 2 != 0)
        return REFUSE(machine, "items without a dictionary");
    Dict *dict = machine->stack[below - 1].dict;
    dict->items = arena_grow(machine->arena, dict->items, &dict->capacity, dict->count + count, sizeof *dict->items);
    for (size_t i = 0; i < count; i++) {
        const Value *value = &machine->stack[first + i];
        if (value->kind == VALUE_MARK || (value->kind == VALUE_DICT && value->dict == dict))
            return REFUSE(machine, "a value that a dictionary cannot hold");
        dict->items[dict->count++] = *value;
    }
    machine->stack_count = below;
    return true;
}

static bool set_marked_items(Machine *machine) {
    for (size_t mark = machine->stack_count; mark-- > 0;)
        if (machine->stack[mark].kind == VALUE_MARK) return set_items(machine, mark + 1, mark);
    return REFUSE(machine, "items without a mark");
}

static bool set_item(Machine *machine) {
    if (machine->stack_count < 3) return REFUSE(machine, "an item without a dictionary");
    return set_items(machine, machine->stack_count - 2, machine->stack_count - 2);
}

static bool step(Machine *machine, uint64_t instruction) {
    uint64_t number = 0;
    switch (instruction) {
    case PICKLE_PROTO:
        return take_number(machine, 1, &number) &&
               ((number >= 2 && number <= 5) ||
                REFUSE(machine, "pickle protocol %llu; 2 to 5 can be read", (unsigned long long)number));
    case PICKLE_FRAME: return take_number(machine, 8, &number);
    case PICKLE_MARK: return push(machine, (Value){.kind = VALUE_MARK});
    case PICKLE_EMPTY_DICT: return push(machine, (Value){.kind = VALUE_DICT, .dict = ARENA_NEW(machine->arena, Dict)});
    case PICKLE_SETITEM: return set_item(machine);
    case PICKLE_SETITEMS: return set_marked_items(machine);
    case PICKLE_BININT1: return push_integer(machine, 1);
    case PICKLE_BININT2: return push_integer(machine, 2);
    case PICKLE_BININT: return push_integer(machine, 4);
    case PICKLE_SHORT_BINUNICODE: return push_string(machine, 1);
    case PICKLE_BINUNICODE: return push_string(machine, 4);
    case PICKLE_MEMOIZE: return store_memo(machine, machine->memo_count);
    case PICKLE_BINPUT: return take_number(machine, 1, &number) && store_memo(machine, number);
    case PICKLE_LONG_BINPUT: return take_number(machine, 4, &number) && store_memo(machine, number);
    case PICKLE_BINGET: return load_memo(machine, 1);
    case PICKLE_LONG_BINGET: return load_memo(machine, 4);
    default:
        return REFUSE(machine, "pickle instruction 0x%02x is not one of a plain dictionary of strings and integers",
                      (unsigned)instruction);
    }
}

static const Dict *run_machine(Machine *machine) {
    for (;;) {
        uint64_t instruction = 0;
        if (!take_number(machine, 1, &instruction)) return NULL;
        if (instruction == PICKLE_STOP) break;
        if (!step(machine, instruction)) return NULL;
    }
    if (machine->stack_count != 1 || machine->stack[0].kind != VALUE_DICT || machine->at != machine->length) {
        REFUSE(machine, "the pickle is not one dictionary");
        return NULL;
    }
    return machine->stack[0].dict;
}

static const Value *find_key(const Dict *dict, const char *key) {
    for (size_t i = 0; i < dict->count; i += 2)
        if (dict->items[i].kind == VALUE_STRING && strcmp(dict->items[i].text, key) == 0) return &dict->items[i + 1];
    return NULL;
}

// itos {0: '\n', 1: ' ', ...}: every token once.
static bool read_characters(Machine *machine, const Dict *itos, int64_t size, uint32_t *characters) {
    bool *seen = ARENA_ARRAY(machine->arena, bool, (size_t)size);
    if (itos->count / 2 != (size_t)size)
        return REFUSE(machine, "'itos' has %zu entries, vocab_size is %lld", itos->count / 2, (long long)size);
    for (size_t i = 0; i < itos->count; i += 2) {
        const Value *token = &itos->items[i], *text = &itos->items[i + 1];
        if (token->kind != VALUE_INTEGER || token->integer < 0 || token->integer >= size || seen[token->integer])
            return REFUSE(machine, "'itos' must have every token from 0 to %lld once", (long long)size - 1);
        seen[token->integer] = true;
        if (text->kind != VALUE_STRING || text->length == 0 ||
            utf8_read(text->text, text->length, &characters[token->integer]) != (int)text->length)
            return REFUSE(machine, "token %lld in 'itos' is not one character", (long long)token->integer);
    }
    return true;
}

RuntimeStatus pickle_read_meta(Arena *arena, const char *path, const unsigned char *bytes, size_t length,
                               Vocabulary **vocabulary, int64_t *vocab_size, Diags *diags) {
    Machine machine = {.arena = arena, .path = path, .bytes = bytes, .length = length, .diags = diags};
    *vocabulary = NULL;
    const Dict *meta = run_machine(&machine);
    if (!meta) return RUNTIME_BAD_FILE;
    const Value *size = find_key(meta, "vocab_size"), *itos = find_key(meta, "itos");
    if (!size || size->kind != VALUE_INTEGER || size->integer < 1 || (itos && itos->kind != VALUE_DICT)) {
        REFUSE(&machine, "needs 'vocab_size', and 'itos' as a dictionary");
        return RUNTIME_BAD_FILE;
    }
    *vocab_size = size->integer;
    if (!itos) return RUNTIME_OK;
    // The dictionary's size bounds the allocation before vocab_size is believed.
    if ((uint64_t)size->integer > length) {
        REFUSE(&machine, "vocab_size %lld is more than the file can name", (long long)size->integer);
        return RUNTIME_BAD_FILE;
    }
    uint32_t *characters = ARENA_ARRAY(arena, uint32_t, (size_t)size->integer);
    if (!read_characters(&machine, itos->dict, size->integer, characters)) return RUNTIME_BAD_FILE;
    if (vocabulary_create(arena, characters, (int32_t)size->integer, vocabulary)) return RUNTIME_OK;
    REFUSE(&machine, "a character appears twice in 'itos'");
    return RUNTIME_BAD_FILE;
}
