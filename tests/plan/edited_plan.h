// The expected plan of a pass case, with one thing changed at a time: what the parser, which verifies, says of it.
#ifndef SINTER_TESTS_PLAN_EDITED_PLAN_H
#define SINTER_TESTS_PLAN_EDITED_PLAN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ir/plan.h"

// Set by edited_setup, until edited_teardown.
extern Arena *arena;
extern const char *sound;   // the expected plan's text

// `file`: a case below tests/passes. 0, as cmocka's setups; -1 when it has no expected text.
int edited_setup(const char *file);
int edited_teardown(void **state);

// NULL when the text is sound.
const char *complaint(const char *text);
// `text` with the first `from` behind `mark` replaced.
const char *edited(const char *text, const char *mark, const char *from, const char *to);
void expect(const char *text, const char *fragment);
// The plan of the sound text, which prints as that text again.
Plan *sound_plan(void);

#endif
