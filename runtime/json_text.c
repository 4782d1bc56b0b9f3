#include "runtime/json_text.h"

static json_malloc_t plain_malloc;
static _Thread_local bool is_short;

// jansson's scanner goes on without the characters that it finds no memory for, and gives a text that is not the
// file's. So every refusal while it reads is noted.
static void *noting_malloc(size_t bytes) {
    void *memory = plain_malloc(bytes);
    if (!memory) is_short = true;
    return memory;
}

static void release_text(void *text) {
    json_text_free(text);
}

bool json_text_read(JsonText *text, const char *bytes, size_t length, size_t flags, json_error_t *error) {
    json_free_t plain_free;
    json_get_alloc_funcs(&plain_malloc, &plain_free);
    json_set_alloc_funcs(noting_malloc, plain_free);
    is_short = false;
    text->root = json_loadb(bytes, length, flags, error);
    json_set_alloc_funcs(plain_malloc, plain_free);
    if (is_short) {
        json_decref(text->root); // NULL is allowed
        memory_exhausted(length);
    }
    if (text->root) memory_own(&text->owned, release_text, text);
    return text->root != NULL;
}

void json_text_free(JsonText *text) {
    memory_disown(&text->owned);
    json_decref(text->root);
    text->root = NULL;
}
