// JSON texts being read: jansson, with the house's way of running out of memory.
//
//     JsonText text;
//     json_error_t error;
//     if (!json_text_read(&text, bytes, length, JSON_REJECT_DUPLICATES, &error)) ... error.line, error.text
//     ... text.root ...
//     json_text_free(&text);
#ifndef SINTER_RUNTIME_JSON_TEXT_H
#define SINTER_RUNTIME_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/memory.h"

typedef struct {
    json_t *root;
    MemoryOwned owned;
} JsonText;

// False when it is not JSON. Memory that jansson cannot get is memory_exhausted. *text must stay where it is until
// freed.
bool json_text_read(JsonText *text, const char *bytes, size_t length, size_t flags, json_error_t *error);
void json_text_free(JsonText *text);

#endif
