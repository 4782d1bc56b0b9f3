// Running a disassembler (see disassemble.h): the cubin in a temporary file, its words through a pipe.
#include "driver/disassemble.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_FOUND = 127 };   // the shell's exit code for a program that is not on PATH

static bool write_all(int file, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(file, bytes, count);
        if (written <= 0) return false;
        bytes += written;
        count -= (size_t)written;
    }
    return true;
}

// The exit code; NOT_FOUND when there is no such program.
static int run_tool(const char *tool, const char *path, Text *out) {
    Arena *arena = arena_create();
    FILE *pipe = popen(arena_format(arena, "%s '%s' 2>/dev/null", tool, path), "r");
    arena_free(arena);
    if (!pipe) return NOT_FOUND;
    char block[4096];
    size_t count;
    while ((count = fread(block, 1, sizeof block, pipe)) > 0) text_append_bytes(out, block, count);
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static bool run_tools(const char *path, Text *out, Diags *diags) {
    static const char *const tools[] = {"nvdisasm -c", "cuobjdump -sass"};
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++) {
        int status = run_tool(tools[i], path, out);
        if (status == 0) return true;
        if (status != NOT_FOUND)
            return diag_error(diags, (Place){0}, "'%s' ended with exit code %d", tools[i], status);
    }
    return diag_error(diags, (Place){0}, "--emit=sass needs nvdisasm or cuobjdump, and neither is on PATH");
}

bool disassemble_cubin(const void *cubin, size_t bytes, Text *out, Diags *diags) {
    char path[] = "/tmp/sinter-cubin-XXXXXX";
    int file = mkstemp(path);
    if (file < 0) return diag_error(diags, (Place){0}, "no temporary file in /tmp: %m");
    bool done = write_all(file, cubin, bytes);
    close(file);
    done = done ? run_tools(path, out, diags) : diag_error(diags, (Place){0}, "cannot write %s: %m", path);
    unlink(path);
    return done;
}
