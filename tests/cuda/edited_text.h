// Slips planted into the text of a kernel. Behind cmocka's headers.
#ifndef SINTER_TESTS_CUDA_EDITED_TEXT_H
#define SINTER_TESTS_CUDA_EDITED_TEXT_H

#include <string.h>

#include "base/text.h"

// Every `from` made `to`; the test fails when there is none.
static inline const char *text_replaced(Arena *arena, const char *source, const char *from, const char *to) {
    Text text = text_create(arena);
    bool found = false;
    for (const char *at; (at = strstr(source, from)); source = at + strlen(from), found = true) {
        text_append_bytes(&text, source, (size_t)(at - source));
        text_append(&text, "%s", to);
    }
    if (!found) fail_msg("there is no '%s' in the text", from);
    text_append(&text, "%s", source);
    return text_string(&text);
}

#endif
