// A libnvrtc.so.13 of the C compiler: what it compiles is for the emulation. See fake_cubin.h for what comes out.
//
//     KERNEL(f, 128)(const float *RESTRICT b0, float *RESTRICT b1) {
//     -> void enter_f(void **a) { f(*(const float *RESTRICT *)a[0], *(float *RESTRICT *)a[1]); }
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "tests/cuda/emulation.h"
#include "tests/cuda/fake_cubin.h"

typedef struct {
    Arena *arena;
    const char *source, *macros;
    char *log, *cubin;
    size_t cubin_bytes;
} FakeProgram;

enum { FAILED = 6 };  // NVRTC_ERROR_COMPILATION

int nvrtcVersion(int *major, int *minor);
const char *nvrtcGetErrorString(int result);
int nvrtcCreateProgram(FakeProgram **program, const char *source, const char *name, int headers,
                       const char *const *texts, const char *const *names);
int nvrtcDestroyProgram(FakeProgram **program);
int nvrtcCompileProgram(FakeProgram *program, int count, const char *const *options);
int nvrtcGetCUBINSize(FakeProgram *program, size_t *bytes);
int nvrtcGetCUBIN(FakeProgram *program, char *bytes);
int nvrtcGetPTXSize(FakeProgram *program, size_t *bytes);
int nvrtcGetPTX(FakeProgram *program, char *text);
int nvrtcGetProgramLogSize(FakeProgram *program, size_t *bytes);
int nvrtcGetProgramLog(FakeProgram *program, char *text);
int nvrtcGetNumSupportedArchs(int *count);
int nvrtcGetSupportedArchs(int *architectures);

static const int architectures_known[] = {80, 86, 89, 90, 100, 120};
enum { KNOWN = sizeof architectures_known / sizeof *architectures_known };

int nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 0;
    return 0;
}
const char *nvrtcGetErrorString(int result) { return result == FAILED ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR"; }
int nvrtcGetNumSupportedArchs(int *count) {
    *count = KNOWN;
    return 0;
}
int nvrtcGetSupportedArchs(int *architectures) {
    memcpy(architectures, architectures_known, sizeof architectures_known);
    return 0;
}

int nvrtcCreateProgram(FakeProgram **program, const char *source, const char *name, int headers,
                       const char *const *texts, const char *const *names) {
    (void)name, (void)headers, (void)texts, (void)names;
    Arena *arena = arena_create();
    *program = ARENA_NEW(arena, FakeProgram);
    **program = (FakeProgram){.arena = arena, .source = arena_copy(arena, source), .log = arena_copy(arena, "")};
    return 0;
}
int nvrtcDestroyProgram(FakeProgram **program) {
    arena_free((*program)->arena);
    *program = NULL;
    return 0;
}

// ---- entries

// A parameter's type: all but the identifier at its end.
static const char *type_of(Arena *arena, const char *parameter, size_t length) {
    while (length > 0 && isspace((unsigned char)parameter[length - 1])) length--;
    while (length > 0 && (isalnum((unsigned char)parameter[length - 1]) || parameter[length - 1] == '_')) length--;
    return arena_copy_range(arena, parameter, length);
}

static void append_entry(Arena *arena, const char *name, const char *parameters, Text *out) {
    size_t end = strcspn(parameters, ")");
    Text sizes = text_create(arena);
    text_append(out, "void enter_%s(void **a) { %s(", name, name);
    for (size_t at = 0, number = 0; at < end; number++) {
        size_t length = strcspn(parameters + at, ",)");
        const char *type = type_of(arena, parameters + at, length);
        text_append(out, "%s*(%s *)a[%zu]", number ? ", " : "", type, number);
        text_append(&sizes, "sizeof(%s), ", type);
        at += length + 1;
    }
    text_append(out, "); }\nconst unsigned sizes_%s[] = {%s0};\n", name, text_string(&sizes));
}

// Every line that begins a kernel: KERNEL(name, threads)(parameters), also TENSOR_KERNEL, or extern "C" __global__ ...
// name(parameters).
static void append_entries(Arena *arena, const char *source, Text *out) {
    static const char printed[] = "KERNEL(", tensor[] = "TENSOR_KERNEL(", written[] = "extern \"C\" __global__ void ";
    for (const char *line = source; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        bool is_tensor = strncmp(line, tensor, sizeof tensor - 1) == 0;
        if (is_tensor || strncmp(line, printed, sizeof printed - 1) == 0) {
            const char *name = strchr(line, '(') + 1;
            append_entry(arena, arena_copy_range(arena, name, strcspn(name, ",")), strstr(name, ")(") + 2, out);
        }
        if (strncmp(line, written, sizeof written - 1) == 0) {
            const char *name = line + sizeof written - 1;
            if (strncmp(name, "__launch_bounds__(", 18) == 0) name = strchr(name, ')') + 2;
            size_t length = strcspn(name, "(");
            append_entry(arena, arena_copy_range(arena, name, length), name + length + 1, out);
        }
    }
}

// Sites go before the first kernel; C has no linkage of another language.
static const char *source_for_c(Arena *arena, const char *source) {
    static const char linkage[] = "extern \"C\" ";
    Text out = text_create(arena);
    text_append(&out, "#define __global__\n#define __launch_bounds__(n)\n"
                      "#define __threadfence_system() __sync_synchronize()\n");
    static const char *const beginnings[] = {"\nKERNEL(", "\nTENSOR_KERNEL(", "\nINLINE void level_", "\nBODY("};
    const char *first = NULL;
    for (int i = 0; i < 4; i++) {
        const char *at = strstr(source, beginnings[i]);
        if (at && (!first || at < first)) first = at;
    }
    for (const char *text = source; *text; text++) {
        if (text == first) text_append(&out, "\n%s", EMULATED_SITES);
        if (strncmp(text, linkage, sizeof linkage - 1) == 0) text += sizeof linkage - 1;
        text_append_bytes(&out, text, 1);
    }
    text_append(&out, "\n");
    append_entries(arena, source, &out);
    return text_string(&out);
}

// ---- compiling

static char *read_file(Arena *arena, const char *path, size_t before, size_t *bytes) {
    struct stat status;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &status) != 0) return NULL;
    *bytes = (size_t)status.st_size;
    char *content = arena_alloc(arena, before + *bytes + 1);
    bool is_read = fread(content + before, 1, *bytes, file) == *bytes;
    fclose(file);
    return is_read ? content : NULL;
}

static bool compile(FakeProgram *program, const char *folder) {
    Arena *arena = program->arena;
    const char *path = arena_format(arena, "%s/kernels.c", folder);
    FILE *file = fopen(path, "w");
    if (!file || fputs(source_for_c(arena, program->source), file) < 0 || fclose(file) != 0) return false;
    const char *command = arena_format(
        arena, C_COMPILER " -std=gnu17 -O0 -march=native -ffp-contract=off -fwrapv -w -shared -fPIC -DEMULATED_KERNELS "
                          "%s -include " SOURCE_DIR "/tests/cuda/emulation.h -o %s/kernels.so %s -lm >%s/log 2>&1",
        program->macros, folder, path, folder);
    size_t bytes;
    bool done = system(command) == 0;
    char *log = read_file(arena, arena_format(arena, "%s/log", folder), 0, &bytes);
    if (log) program->log = log;
    char *cubin =
        done ? read_file(arena, arena_format(arena, "%s/kernels.so", folder), sizeof(FakeCubin), &bytes) : NULL;
    if (!cubin) return false;
    *(FakeCubin *)(void *)cubin = (FakeCubin){.mark = FAKE_CUBIN_MARK, .bytes = bytes};
    program->cubin = cubin;
    program->cubin_bytes = sizeof(FakeCubin) + bytes;
    return true;
}

// As the C compiler takes them, and what SINTER_FAKE_NVRTC adds: how a test plants a slip.
static const char *macros_of(Arena *arena, int count, const char *const *options) {
    static const char define[] = "--define-macro=";
    const char *slip = getenv("SINTER_FAKE_NVRTC");
    Text macros = text_create(arena);
    text_append(&macros, "%s", slip ? slip : "");
    for (int i = 0; i < count; i++)
        if (strncmp(options[i], define, sizeof define - 1) == 0)
            text_append(&macros, " -D%s", options[i] + sizeof define - 1);
    return text_string(&macros);
}

int nvrtcCompileProgram(FakeProgram *program, int count, const char *const *options) {
    char folder[] = "/tmp/sinter-fake-nvrtc-XXXXXX";
    if (!mkdtemp(folder)) return FAILED;
    program->macros = macros_of(program->arena, count, options);
    bool done = compile(program, folder);
    if (system(arena_format(program->arena, "rm -rf %s", folder)) != 0) fprintf(stderr, "%s is left behind\n", folder);
    return done ? 0 : FAILED;
}

int nvrtcGetCUBINSize(FakeProgram *program, size_t *bytes) {
    *bytes = program->cubin_bytes;
    return 0;
}
int nvrtcGetCUBIN(FakeProgram *program, char *bytes) {
    memcpy(bytes, program->cubin, program->cubin_bytes);
    return 0;
}
int nvrtcGetPTXSize(FakeProgram *program, size_t *bytes) {
    *bytes = strlen(program->source) + 1;
    return 0;
}
int nvrtcGetPTX(FakeProgram *program, char *text) {
    strcpy(text, program->source);
    return 0;
}
int nvrtcGetProgramLogSize(FakeProgram *program, size_t *bytes) {
    *bytes = strlen(program->log) + 1;
    return 0;
}
int nvrtcGetProgramLog(FakeProgram *program, char *text) {
    strcpy(text, program->log);
    return 0;
}
