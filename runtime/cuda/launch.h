// What a GPU is given to run, as plain data: kernels, launches in order, and where each value lies. codegen/cuda makes
// it.
//
//     kernel 3  row_softmax_edfaa24155db9ddb   128 threads a block, 2 buffers
//     launch 17 kernel 3  384 blocks  b0 = arena + 4096, b1 = arena + 12288  after 15
#ifndef SINTER_RUNTIME_CUDA_LAUNCH_H
#define SINTER_RUNTIME_CUDA_LAUNCH_H

#include "runtime/program.h"

// What a kernel may touch of a buffer, and how. Buffers of one launch can overlap where one of them is written in
// place.
typedef struct {
    size_t bytes;
    bool read, written;           // read: what was there before the launch
} CudaBuffer;

// A tensor map: how a kernel copies boxes of a buffer, which it sees as a tensor of `rank` dims, the first one's
// elements side by side; 128 bytes of the box's first dim are a line in shared memory, whose pieces of 16 bytes change
// places.
enum { CUDA_MAP_RANK = 5, CUDA_MAP_BYTES = 128, CUDA_MOST_MAPS = 4 };   // of a kernel, at most
typedef struct {
    uint32_t buffer;
    uint64_t offset;              // bytes, from the buffer's beginning to the tensor's
    uint32_t rank;
    uint64_t extents[CUDA_MAP_RANK], strides[CUDA_MAP_RANK];   // bytes; strides[0]: of an element, which is bf16
    uint32_t box[CUDA_MAP_RANK];
} CudaMap;

typedef struct {
    const char *name;             // of the extern "C" __global__ function: an identifier, equal only for equal texts
    const struct CudaText *text;  // what codegen/cuda writes its source from; nobody else looks into it
    uint32_t buffer_count;        // its parameters: that many pointers, then its tensor maps, by value
    const CudaBuffer *buffers;
    uint32_t map_count;
    const CudaMap *maps;
    uint32_t threads;             // of a block; the text has it as __launch_bounds__
    size_t shared_bytes;          // dynamic shared memory of a block; above 48 KB it must be asked for by an attribute
    bool is_cooperative;          // all blocks of a launch must be there at once: no more of them than find room
} CudaKernel;

// A matrix of a library's product, in one of the launch's buffers. Column by column: from one column to the next are
// `leading` elements; turned, it is its transpose that lies so.
typedef struct {
    uint32_t buffer;
    int64_t offset;               // elements, to the first matrix of the first call
    ElementKind element;          // f32 or bf16
    int64_t leading, batch_stride;   // elements; batch_stride: from one matrix of a call to the next
    bool is_turned;               // never the result
} CudaMatrix;

typedef struct {
    int64_t first, second, result, added;   // where this call's matrices begin, elements behind those of the first call
} CudaCall;

// What factors that are f32 may be rounded to. Sums are f32.
typedef enum { CUDA_ROUND_NOT, CUDA_ROUND_TF32, CUDA_ROUND_BF16 } CudaRounding;

// result[rows x columns] = gelu(first[rows x summed] * second[summed x columns] + added[rows x columns] + bias[rows]),
// `batch` times in each call. Calls follow one another. What is added may lie where the result does.
typedef struct {
    int64_t rows, columns, summed, batch;
    CudaMatrix first, second, result;
    bool has_added, has_bias, is_gelu;
    CudaMatrix added, bias;          // never turned; a bias is one column, the same for all
    const CudaCall *calls;
    uint32_t call_count;
    CudaRounding rounding;
} CudaProduct;

#define CUDA_NO_KERNEL UINT32_MAX
typedef struct {
    uint32_t kernel;              // in the kernels of the code; CUDA_NO_KERNEL with a product
    const CudaProduct *product;   // computed by a library; NULL: by the kernel
    uint32_t blocks;              // of kernel.threads threads; one-dimensional; if cooperative, at most so many
    const ProgramBuffer *buffers; // parameter i is (char *)base of memory + offset; MEMORY_STATE or MEMORY_ARENA
    // Launches of this program, all before this one, that must have finished, after those these wait for in turn.
    // Launches in the order of the table on one stream are right too.
    const uint32_t *after;
    uint32_t after_count;
    uint32_t id;                  // the Plan's step number
    const char *label;
    double flops, bytes;          // model, whole step
    double serial_seconds;        // model: what its busiest worker takes; 0: not known
} CudaLaunch;

typedef struct {
    const char *name;             // "step", "micro", "eval", "logits"
    const CudaLaunch *launches;
    uint32_t launch_count;
    const ProgramSlot *slots;     // inputs (in the arena, written before a run), states, outputs (in the arena)
    uint32_t slot_count;
    bool is_persistent;           // its launches are to be cooperative kernels of many (codegen/cuda/persist.c)
    size_t workspace_offset, workspace_bytes;   // in the arena, for the products of libraries: one at a time
    size_t state_bytes, arena_bytes;   // the programs share one block of states and one arena, each as large as the
                                       // largest; both begin at a multiple of 256 bytes and are zeros at first
} CudaProgram;

// Machine code of all kernels, for one device.
typedef struct {
    const void *const *cubins;
    uint32_t cubin_count;
    const uint32_t *cubin_of;     // by kernel
    const void *service;          // cubin of sinter_take, _give and _nothing (codegen/cuda/service.c)
} CudaImages;

// ---- the two kernels that stand around a program's launches, so that one graph serves every step (sinter_nothing is a
// third one, for timing.c)

enum { CUDA_MOST_MOVES = 16 };
// Bytes (a multiple of 4) of one input, from the ring's entry to the arena.
typedef struct {
    unsigned long long to, from, bytes;
} CudaMove;

// At the beginning of each entry of the ring: how its run follows those before it (see RunOrder in runtime/session.h).
typedef struct {
    unsigned place;     // 0 alone, 1 begins, 2 follows, 3 aside
    unsigned forgiven;
    unsigned goes_on;   // of the host: another run of the same iteration comes next
} CudaOrder;
enum { CUDA_ORDER_BYTES = 16 };  // that many belong to it

// What the runs of a session leave to the next ones.
typedef struct {
    unsigned long long run;        // number of the one that is under way
    unsigned long long unsound;    // not 0: a result of this iteration was not finite, and no scaled loss was to blame
    unsigned long long in_a_row;   // so many iterations before it were not sound
    unsigned long long is_minded;  // whether the result of this run counts
} CudaCursor;

// sinter_take: copies the inputs of run number cursor.run from entry run % entries of the ring into the arena. Where
// the run must not update anything, it writes NaN as the learning rate. rate: offset in the arena, UINT64_MAX: there is
// none.
typedef struct {
    unsigned long long ring, entry_bytes, entries, cursor, arena, rate;
    unsigned long long count;
    CudaMove moves[CUDA_MOST_MOVES];
} CudaTake;

// sinter_give: writes results[run % entries], its number last, and moves the cursor on. Offsets in the arena;
// UINT64_MAX: the program has no such output, and NaN is written.
typedef struct {
    unsigned long long results, entries, cursor, arena, loss, grad_norm, loss_scale;
} CudaGive;

typedef struct {
    unsigned long long run;       // number of the run that this is of, plus 1; 0: none yet
    float loss, grad_norm, loss_scale, unused;
} CudaResultEntry;

enum { CUDA_SERVICE_THREADS = 256, CUDA_TAKE_BLOCKS = 32 };

#endif
