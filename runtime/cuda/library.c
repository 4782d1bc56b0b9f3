// Opening cuBLASLt: see library.h.
#include "runtime/cuda/library.h"

// Layout of LtWay, and of the attributes' numbers: since cuBLAS 12.
enum { OLDEST_LIBRARY = 120000, VERSIONS_OF_MAJOR = 10000, HOPPER = 9 };

static bool load_functions(Arena *arena, CudaLibrary *library, const char **why) {
    const LibrarySymbol symbols[] = {
        {"cublasLtGetVersion", (void **)&library->get_version, false},
        {"cublasLtGetStatusString", (void **)&library->status_text, false},
        {"cublasLtCreate", (void **)&library->create, false},
        {"cublasLtDestroy", (void **)&library->destroy, false},
        {"cublasLtMatmulDescCreate", (void **)&library->operation_create, false},
        {"cublasLtMatmulDescDestroy", (void **)&library->operation_destroy, false},
        {"cublasLtMatmulDescSetAttribute", (void **)&library->operation_set, false},
        {"cublasLtMatrixLayoutCreate", (void **)&library->matrix_create, false},
        {"cublasLtMatrixLayoutDestroy", (void **)&library->matrix_destroy, false},
        {"cublasLtMatrixLayoutSetAttribute", (void **)&library->matrix_set, false},
        {"cublasLtMatmulPreferenceCreate", (void **)&library->preference_create, false},
        {"cublasLtMatmulPreferenceDestroy", (void **)&library->preference_destroy, false},
        {"cublasLtMatmulPreferenceSetAttribute", (void **)&library->preference_set, false},
        {"cublasLtMatmulAlgoGetHeuristic", (void **)&library->find_ways, false},
        {"cublasLtMatmul", (void **)&library->multiply, false},
    };
    return library_symbols(arena, &library->library, symbols, sizeof symbols / sizeof *symbols, why);
}

const char *cuda_library_version(Arena *arena, const CudaLibrary *library) {
    size_t version = library->version;
    return arena_format(arena, "%zu.%zu.%zu", version / VERSIONS_OF_MAJOR, version / 100 % 100, version % 100);
}

// A library of a newer major version than the driver's does not run on it.
static bool check_version(Arena *arena, CudaLibrary *library, int driver_version, const char **why) {
    library->version = library->get_version();
    const char *version = cuda_library_version(arena, library);
    if (library->version < OLDEST_LIBRARY)
        *why = arena_format(arena, "%s is version %s; 12.0 or newer is needed", library->library.path, version);
    else if (driver_version > 0 && library->version / VERSIONS_OF_MAJOR > (size_t)driver_version / 1000)
        *why = arena_format(arena, "%s is version %s, and the driver is for CUDA %s", library->library.path, version,
                            cuda_version_text(arena, driver_version));
    else
        return true;
    return false;
}

const CudaLibrary *cuda_library_open(Arena *arena, int driver_version, const char **why) {
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so", NULL};
    bool is_older = driver_version > 0 && driver_version < 13000;
    CudaLibrary *library = ARENA_NEW(arena, CudaLibrary);
    bool is_open = library_open(arena, names + is_older, library_cuda_folders(arena), &library->library, why) &&
                   load_functions(arena, library, why) && check_version(arena, library, driver_version, why);
    return is_open ? library : NULL;
}

double cuda_library_bytes(int major) {
    return major >= HOPPER ? 32 << 20 : 4 << 20;
}
