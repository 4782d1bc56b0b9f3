// Opening NVRTC and compiling with it: see nvrtc.h.
#include "codegen/cuda/nvrtc.h"

#include <stdlib.h>
#include <string.h>

#include "base/library.h"

// From nvrtc.h of the CUDA toolkit, whose names and numbers are its interface.
typedef int NvrtcResult;  // 0: NVRTC_SUCCESS
typedef struct NvrtcProgram *NvrtcProgram;

struct Nvrtc {
    Library library;
    char version[24];
    const int *architectures;
    int architecture_count;
    NvrtcResult (*get_version)(int *major, int *minor);
    const char *(*error_string)(NvrtcResult result);
    NvrtcResult (*create)(NvrtcProgram *program, const char *source, const char *name, int header_count,
                          const char *const *headers, const char *const *include_names);
    NvrtcResult (*destroy)(NvrtcProgram *program);
    NvrtcResult (*compile)(NvrtcProgram program, int option_count, const char *const *options);
    NvrtcResult (*cubin_size)(NvrtcProgram program, size_t *bytes);
    NvrtcResult (*cubin)(NvrtcProgram program, char *bytes);
    NvrtcResult (*ptx_size)(NvrtcProgram program, size_t *bytes);
    NvrtcResult (*ptx)(NvrtcProgram program, char *text);
    NvrtcResult (*log_size)(NvrtcProgram program, size_t *bytes);
    NvrtcResult (*log)(NvrtcProgram program, char *text);
    NvrtcResult (*architecture_number)(int *count);
    NvrtcResult (*architecture_list)(int *architectures);
};

// ---- opening

static bool load_functions(Arena *arena, Nvrtc *nvrtc, const char **why) {
    const LibrarySymbol symbols[] = {
        {"nvrtcVersion", (void **)&nvrtc->get_version, false},
        {"nvrtcGetErrorString", (void **)&nvrtc->error_string, false},
        {"nvrtcCreateProgram", (void **)&nvrtc->create, false},
        {"nvrtcDestroyProgram", (void **)&nvrtc->destroy, false},
        {"nvrtcCompileProgram", (void **)&nvrtc->compile, false},
        {"nvrtcGetCUBINSize", (void **)&nvrtc->cubin_size, false},
        {"nvrtcGetCUBIN", (void **)&nvrtc->cubin, false},
        {"nvrtcGetPTXSize", (void **)&nvrtc->ptx_size, false},
        {"nvrtcGetPTX", (void **)&nvrtc->ptx, false},
        {"nvrtcGetProgramLogSize", (void **)&nvrtc->log_size, false},
        {"nvrtcGetProgramLog", (void **)&nvrtc->log, false},
        {"nvrtcGetNumSupportedArchs", (void **)&nvrtc->architecture_number, false},
        {"nvrtcGetSupportedArchs", (void **)&nvrtc->architecture_list, false},
    };
    return library_symbols(arena, &nvrtc->library, symbols, sizeof symbols / sizeof *symbols, why);
}

static bool ask_version(Arena *arena, Nvrtc *nvrtc, const char **why) {
    int major = 0, minor = 0;
    NvrtcResult result = nvrtc->get_version(&major, &minor);
    if (result == 0) result = nvrtc->architecture_number(&nvrtc->architecture_count);
    if (result == 0) {
        int *list = ARENA_ARRAY(arena, int, (size_t)nvrtc->architecture_count + 1);
        result = nvrtc->architecture_list(list);
        nvrtc->architectures = list;
    }
    if (result != 0) {
        *why = arena_format(arena, "%s: %s", nvrtc->library.path, nvrtc->error_string(result));
        return false;
    }
    const char *version = arena_format(arena, "%d.%d", major, minor);
    strncpy(nvrtc->version, version, sizeof nvrtc->version - 1);
    return true;
}

const Nvrtc *nvrtc_open(Arena *arena, const char **why) {
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", NULL};
    Nvrtc *nvrtc = ARENA_NEW(arena, Nvrtc);
    bool is_open = library_open(arena, names, library_cuda_folders(arena), &nvrtc->library, why) &&
                   load_functions(arena, nvrtc, why) && ask_version(arena, nvrtc, why);
    return is_open ? nvrtc : NULL;
}

const char *nvrtc_version(const Nvrtc *nvrtc) { return nvrtc->version; }
const char *nvrtc_path(const Nvrtc *nvrtc) { return nvrtc->library.path; }

bool nvrtc_knows(const Nvrtc *nvrtc, const char *architecture) {
    const char *number = strchr(architecture, '_');
    int wanted = number ? atoi(number + 1) : 0;
    for (int i = 0; i < nvrtc->architecture_count; i++) {
        if (nvrtc->architectures[i] == wanted) return true;
    }
    return false;
}

// ---- compiling

// -v: registers and spills in the log. What the bits of a kernel depend on is the caller's (cuda_compile_options).
static const char *const common_options[] = {"--std=c++17", "--ptxas-options=-v", "--ptxas-options=--warn-on-spills",
                                             NULL};

const char *const *nvrtc_options(void) { return common_options; }

static int collect_options(Arena *arena, const CudaSource *source, const char ***options) {
    int count = 0, common = 0, own = 0;
    while (common_options[common]) common++;
    while (source->options && source->options[own]) own++;
    *options = ARENA_ARRAY(arena, const char *, (size_t)(1 + common + own));
    (*options)[count++] = arena_format(arena, "--gpu-architecture=%s", source->architecture);
    for (int i = 0; i < common; i++) (*options)[count++] = common_options[i];
    for (int i = 0; i < own; i++) (*options)[count++] = source->options[i];
    return count;
}

// One of NVRTC's texts: first its size, with the NUL at the end, then itself. NULL when there is none.
static char *fetch(Arena *arena, NvrtcProgram program, NvrtcResult (*size)(NvrtcProgram, size_t *),
                   NvrtcResult (*get)(NvrtcProgram, char *), size_t *bytes) {
    *bytes = 0;
    if (size(program, bytes) != 0 || *bytes == 0) return NULL;
    char *text = arena_alloc(arena, *bytes + 1);
    return get(program, text) == 0 ? text : NULL;
}

static NvrtcResult compile_program(const Nvrtc *nvrtc, Arena *arena, const CudaSource *source, CudaObject *object,
                                   NvrtcProgram program) {
    const char **options;
    int option_count = collect_options(arena, source, &options);
    NvrtcResult result = nvrtc->compile(program, option_count, options);
    size_t bytes;
    object->log = fetch(arena, program, nvrtc->log_size, nvrtc->log, &bytes);
    if (!object->log) object->log = "";
    if (result != 0) return result;
    object->ptx = fetch(arena, program, nvrtc->ptx_size, nvrtc->ptx, &bytes);
    object->cubin = fetch(arena, program, nvrtc->cubin_size, nvrtc->cubin, &object->cubin_bytes);
    return 0;
}

bool nvrtc_compile(const Nvrtc *nvrtc, Arena *arena, const CudaSource *source, CudaObject *object, Diags *diags) {
    *object = (CudaObject){.log = ""};
    NvrtcProgram program = NULL;
    NvrtcResult result = nvrtc->create(&program, source->text, source->name, 0, NULL, NULL);
    if (result == 0) {
        result = compile_program(nvrtc, arena, source, object, program);
        nvrtc->destroy(&program);
    }
    if (result != 0) {
        nvrtc_report(source, object->log, nvrtc->error_string(result), diags);
        return false;
    }
    bool wants_cubin = strncmp(source->architecture, "sm_", 3) == 0;
    if (!object->ptx || (wants_cubin && !object->cubin))
        return diag_error(diags, (Place){0}, "NVRTC %s gave no code for %s (%s)", nvrtc->version, source->name,
                          source->architecture);
    nvrtc_read_usage(arena, object);
    return true;
}
