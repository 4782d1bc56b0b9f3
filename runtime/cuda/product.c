// A library's product -> nodes of a graph: its calls are captured from a stream as they would run there.
//
//     product 768 x 768 of 3072, 4 calls   ->   one node: a graph of four kernels, one after the other
//
// How it is computed the library says, once, from shapes, strides and addresses; always the same for the same library
// and GPU. Sums may be cut in parts only where these are added up in order, so bits are the same from run to run.
#include "runtime/cuda/session_parts.h"

enum { CAPTURE_RELAXED = 2, MOST_ALIGNMENT = 256 };

typedef struct {
    const CudaSession *session;
    const CudaLibrary *library;
    const CudaProgram *program;
    const CudaLaunch *launch;
    const CudaProduct *product;
    LtOperation operation;
    LtMatrix first, second, result, added;   // added: the result's, when nothing is
    LtPreference preference;
    LtWay way;
    Diags *diags;
} Capture;

// ---- what the library is told

static size_t element_bytes(const CudaMatrix *matrix) { return matrix->element == ELEMENT_F32 ? 4 : 2; }

static CudaAddress address_of(const Capture *capture, const CudaMatrix *matrix, int64_t offset) {
    CudaAddress base = cuda_address(capture->session, capture->launch->buffers[matrix->buffer]);
    return base + (CudaAddress)(matrix->offset + offset) * element_bytes(matrix);
}

static int compute_of(const CudaProduct *product) {
    if (product->first.element != ELEMENT_F32 || product->rounding == CUDA_ROUND_NOT) return LT_COMPUTE_F32;
    return product->rounding == CUDA_ROUND_TF32 ? LT_COMPUTE_F32_TF32 : LT_COMPUTE_F32_BF16;
}

static LtStatus describe_epilogue(const Capture *capture) {
    const CudaLibrary *library = capture->library;
    const CudaProduct *product = capture->product;
    uint32_t epilogue = (product->has_bias ? LT_EPILOGUE_BIAS : 0) | (product->is_gelu ? LT_EPILOGUE_GELU : 0);
    if (epilogue == 0) return LT_OK;
    LtStatus status = library->operation_set(capture->operation, LT_OPERATION_EPILOGUE, &epilogue, sizeof epilogue);
    if (status != LT_OK || !product->has_bias) return status;
    const void *bias = (const void *)(uintptr_t)address_of(capture, &product->bias, 0);
    return library->operation_set(capture->operation, LT_OPERATION_BIAS, &bias, sizeof bias);
}

static LtStatus describe_operation(Capture *capture) {
    const CudaProduct *product = capture->product;
    int32_t first = product->first.is_turned ? LT_TURNED : LT_NOT_TURNED;
    int32_t second = product->second.is_turned ? LT_TURNED : LT_NOT_TURNED;
    LtStatus status = capture->library->operation_create(&capture->operation, compute_of(product), LT_REAL_F32);
    if (status == LT_OK)
        status = capture->library->operation_set(capture->operation, LT_OPERATION_TURN_FIRST, &first, sizeof first);
    if (status == LT_OK)
        status = capture->library->operation_set(capture->operation, LT_OPERATION_TURN_SECOND, &second, sizeof second);
    return status == LT_OK ? describe_epilogue(capture) : status;
}

static LtStatus describe_matrix(const Capture *capture, const CudaMatrix *matrix, int64_t rows, int64_t columns,
                                LtMatrix *described) {
    int type = matrix->element == ELEMENT_F32 ? LT_REAL_F32 : LT_REAL_BF16;
    uint64_t down = (uint64_t)(matrix->is_turned ? columns : rows);
    uint64_t across = (uint64_t)(matrix->is_turned ? rows : columns);
    int32_t batch = (int32_t)capture->product->batch;
    LtStatus status = capture->library->matrix_create(described, type, down, across, matrix->leading);
    if (status != LT_OK || batch == 1) return status;
    status = capture->library->matrix_set(*described, LT_MATRIX_BATCH, &batch, sizeof batch);
    if (status != LT_OK) return status;
    return capture->library->matrix_set(*described, LT_MATRIX_BATCH_STRIDE, &matrix->batch_stride,
                                        sizeof matrix->batch_stride);
}

static uint32_t alignment_of(CudaAddress address) {
    uint32_t alignment = MOST_ALIGNMENT;
    while (address % alignment) alignment /= 2;
    return alignment;
}

static uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }

// The library wants a matrix there, also when it is not to be added.
static CudaAddress address_of_added(const Capture *capture, const CudaCall *call) {
    const CudaProduct *product = capture->product;
    return product->has_added ? address_of(capture, &product->added, call->added)
                              : address_of(capture, &product->result, call->result);
}

// One way for all calls: what each of their matrices is aligned to.
static LtStatus prefer_alignments(const Capture *capture) {
    const CudaProduct *product = capture->product;
    uint32_t least[] = {MOST_ALIGNMENT, MOST_ALIGNMENT, MOST_ALIGNMENT, MOST_ALIGNMENT};
    for (uint32_t i = 0; i < product->call_count; i++) {
        const CudaCall *call = &product->calls[i];
        least[0] = smaller(least[0], alignment_of(address_of(capture, &product->first, call->first)));
        least[1] = smaller(least[1], alignment_of(address_of(capture, &product->second, call->second)));
        least[3] = smaller(least[3], alignment_of(address_of(capture, &product->result, call->result)));
        least[2] = smaller(least[2], alignment_of(address_of_added(capture, call)));
    }
    LtStatus status = LT_OK;
    for (int i = 0; i < 4 && status == LT_OK; i++)
        status =
            capture->library->preference_set(capture->preference, LT_PREFER_ALIGNMENT + i, &least[i], sizeof *least);
    return status;
}

static LtStatus describe_preference(Capture *capture) {
    const CudaLibrary *library = capture->library;
    uint64_t bytes = capture->program->workspace_bytes;
    uint32_t reduction = LT_REDUCTION_IN_WORKSPACE;
    LtStatus status = library->preference_create(&capture->preference);
    if (status == LT_OK)
        status = library->preference_set(capture->preference, LT_PREFER_WORKSPACE, &bytes, sizeof bytes);
    if (status == LT_OK)
        status = library->preference_set(capture->preference, LT_PREFER_REDUCTION, &reduction, sizeof reduction);
    return status == LT_OK ? prefer_alignments(capture) : status;
}

// ---- how it is done

static bool refuse(const Capture *capture, LtStatus status, const char *what) {
    const CudaProduct *product = capture->product;
    diag_error(capture->diags, (Place){0},
               "cuBLASLt cannot %s '%s', %lld x %lld, sum of %lld: %s; a choice 'engine PLACE tiles' leaves it to "
               "Sinter's own kernels",
               what, capture->launch->label, (long long)product->rows, (long long)product->columns,
               (long long)product->summed, capture->library->status_text(status));
    return false;
}

static LtMatrix added_of(const Capture *capture) { return capture->added ? capture->added : capture->result; }

static bool find_way(Capture *capture) {
    enum { NOT_SUPPORTED = 15 };
    const CudaProduct *product = capture->product;
    int found = 0;
    LtStatus status = describe_operation(capture);
    if (status == LT_OK)
        status = describe_matrix(capture, &product->first, product->rows, product->summed, &capture->first);
    if (status == LT_OK)
        status = describe_matrix(capture, &product->second, product->summed, product->columns, &capture->second);
    if (status == LT_OK)
        status = describe_matrix(capture, &product->result, product->rows, product->columns, &capture->result);
    if (status == LT_OK && product->has_added)
        status = describe_matrix(capture, &product->added, product->rows, product->columns, &capture->added);
    if (status == LT_OK) status = describe_preference(capture);
    if (status == LT_OK)
        status = capture->library->find_ways(capture->session->library, capture->operation, capture->first,
                                             capture->second, added_of(capture), capture->result, capture->preference,
                                             1, &capture->way, &found);
    if (status == LT_OK && found == 0) status = NOT_SUPPORTED;
    if (status == LT_OK) status = capture->way.status;
    return status == LT_OK || refuse(capture, status, "compute");
}

static LtStatus multiply(const Capture *capture) {
    const CudaProduct *product = capture->product;
    const float one = 1, zero = 0;
    ProgramBuffer workspace = {MEMORY_ARENA, capture->program->workspace_offset};
    void *memory = (void *)(uintptr_t)cuda_address(capture->session, workspace);
    LtStatus status = LT_OK;
    for (uint32_t i = 0; i < product->call_count && status == LT_OK; i++) {
        const CudaCall *call = &product->calls[i];
        const void *first = (const void *)(uintptr_t)address_of(capture, &product->first, call->first);
        const void *second = (const void *)(uintptr_t)address_of(capture, &product->second, call->second);
        void *result = (void *)(uintptr_t)address_of(capture, &product->result, call->result);
        const void *added = (const void *)(uintptr_t)address_of_added(capture, call);
        status = capture->library->multiply(capture->session->library, capture->operation, &one, first, capture->first,
                                            second, capture->second, product->has_added ? &one : &zero, added,
                                            added_of(capture), result, capture->result, capture->way.algorithm, memory,
                                            capture->program->workspace_bytes, capture->session->compute);
    }
    return status;
}

static CudaResult capture_calls(const Capture *capture, CudaGraph *graph) {
    const CudaDriver *driver = capture->session->settings.driver;
    *graph = NULL;
    CudaResult result = driver->stream_begin_capture(capture->session->compute, CAPTURE_RELAXED);
    if (result != CUDA_OK) return result;
    LtStatus status = multiply(capture);
    result = driver->stream_end_capture(capture->session->compute, graph);
    if (status == LT_OK) return result;
    refuse(capture, status, "start");
    return CUDA_COMPLAINED;
}

static void forget(const Capture *capture) {
    const CudaLibrary *library = capture->library;
    if (capture->preference) library->preference_destroy(capture->preference);
    if (capture->added) library->matrix_destroy(capture->added);
    if (capture->result) library->matrix_destroy(capture->result);
    if (capture->second) library->matrix_destroy(capture->second);
    if (capture->first) library->matrix_destroy(capture->first);
    if (capture->operation) library->operation_destroy(capture->operation);
}

CudaResult cuda_product_add(const CudaSession *session, const CudaProgram *program, const CudaLaunch *launch,
                            CudaGraph graph, const CudaNode *before, size_t before_count, CudaNode *node,
                            Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    Capture capture = {.session = session,
                       .library = session->settings.library,
                       .program = program,
                       .launch = launch,
                       .product = launch->product,
                       .diags = diags};
    CudaGraph calls = NULL;
    CudaResult result = find_way(&capture) ? capture_calls(&capture, &calls) : CUDA_COMPLAINED;
    if (result == CUDA_OK) result = driver->graph_add_graph(node, graph, before, before_count, calls);
    if (calls) driver->graph_destroy(calls);
    forget(&capture);
    return result;
}
