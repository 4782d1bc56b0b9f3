// Complaints. The user's fault is a collected diagnostic with a place and a caret; our own fault is BUG().
//
//     model.spec:12:18: error: unknown dimension 'X' in 'sum(X) q * k'
//         s[B,H,T,S] = (sum(X) q * k[T=S])
//                           ^
//         note: dimensions here: B, H, T, D
//
// Rooms never print and never exit: they append here, return false or NULL, and driver/ renders the list.
#ifndef SINTER_BASE_DIAG_H
#define SINTER_BASE_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/text.h"

// A place in a text. `source` is the whole text (NUL-terminated, outlives the diagnostics), for the caret line.
// line and column count from 1; line 0 means "no line", and then only `file` is shown (NULL: nothing).
typedef struct {
    const char *file;
    const char *source;
    uint32_t line, column;
} Place;

typedef enum { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE } DiagKind;

typedef struct Diags Diags;

Diags *diags_create(Arena *arena);
// Returns false, so that a caller can `return diag_error(...)`.
bool diag_error(Diags *diags, Place place, const char *format, ...) __attribute__((format(printf, 3, 4)));
void diag_warning(Diags *diags, Place place, const char *format, ...) __attribute__((format(printf, 3, 4)));
// Attached to the diagnostic before it.
void diag_note(Diags *diags, Place place, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t diags_errors(const Diags *diags);
size_t diags_count(const Diags *diags);  // errors, warnings and notes
void diags_render(const Diags *diags, Text *out);

// Our fault: prints the message and the last good IR (when a hook gave one), then aborts.
#define BUG(...) bug_report(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void bug_report(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
// `hook` is called once before the abort, to write the last good IR. Set by driver/.
void bug_set_hook(void (*hook)(void *context), void *context);
#define CHECK(condition) ((condition) ? (void)0 : BUG("check failed: %s", #condition))

#endif
