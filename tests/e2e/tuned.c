// Files that --tune stored (see tuned.h).
#include "tests/e2e/tuned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/text.h"
#include "tests/e2e/run.h"

const char *tuned_path(Arena *arena, const char *log) {
    const char *start = strstr(log, "tune: stored in ");
    assert_non_null(start);
    start += strlen("tune: stored in ");
    return arena_copy_range(arena, start, strcspn(start, "\n"));
}

void tuned_store(Arena *arena, const char *path, const char *lines) {
    const char *text = read_file(arena, path);
    int first = (int)strcspn(text, "\n");
    const char *body =
        arena_format(arena, "%.*s\n# tuned: by a test\n# searched, in seconds: inf\n%s", first, text, lines);
    write_text(path, arena_format(arena, "%s# end %016llx\n", body, hash_text(body)));
}
