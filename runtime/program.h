// The Program: what the runtime executes. The first thing that does not know ops: kernels, buffers, pieces, waits.
#ifndef SINTER_RUNTIME_PROGRAM_H
#define SINTER_RUNTIME_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Computes piece `piece` of a step. buffers[i] points at the i-th buffer of the step (operands, then outputs).
typedef void (*KernelFunction)(void *const *buffers, int64_t piece, const void *context);

// Each thread has scratch memory of its own; one piece of a buffer lies there at a time.
typedef enum { MEMORY_STATE, MEMORY_ARENA, MEMORY_SCRATCH, MEMORY_COUNT } ProgramMemory;
typedef struct {
    ProgramMemory memory;
    size_t offset;
} ProgramBuffer;

// Of a buffer that is never whole in memory: so many bytes of it lie there at one time, those of so many successive
// pieces.
typedef struct {
    size_t bytes;
    uint32_t pieces;
} ProgramWindow;

typedef struct {
    KernelFunction function;
    const void *context;             // for library calls; NULL for generated kernels
    const ProgramBuffer *buffers;
    // By buffer: of each in MEMORY_SCRATCH, and of those in the arena that lie there one round at a time. 0 bytes
    // elsewhere; NULL when there is none. For piece p the kernel gets start - p / window.pieces * window.bytes and
    // touches only that window: as if the whole buffer lay there.
    const ProgramWindow *windows;
    uint32_t buffer_count;
    uint32_t pieces;                 // thread t of n runs pieces [pieces*t/n, pieces*(t+1)/n)
    // > 0: successive steps of as many rounds run pieces/rounds of their pieces each, then the next ones, round after
    // round. All threads must have finished a round before the next one begins.
    uint32_t rounds;
    uint32_t groups;                 // > 0: pieces come in so many equal groups, threads take whole groups, in order
    bool wait;                       // all threads must have finished every earlier step
    bool joined;                     // runs with the step before: piece k of both, then piece k+1. Of as many pieces as
                                     // the first step that it is joined to, or a multiple: ranges of its pieces
    bool chained;                    // runs with the step before range by range, inside of such a piece
    uint32_t id;                     // the Plan's step number, opaque here
    const char *label;
    double flops, bytes;             // model, whole step
} ProgramStep;

typedef enum { SLOT_INPUT, SLOT_STATE, SLOT_OUTPUT } SlotKind;
typedef enum { ELEMENT_F32, ELEMENT_I32, ELEMENT_BF16, ELEMENT_F16, ELEMENT_BOOL } ElementKind;
enum { SLOT_MAX_RANK = 8, SLOT_MAX_PIECES = 10 };

// Stored (file) element at multi-index i over `extents` (row-major in files) lives in memory at the mixed-radix number
// of pieces p, outermost first: digit = (sum over d of i[d] * weights[p][d]) / divisor[p] % radix[p].
typedef struct {
    const char *name;
    SlotKind kind;
    ElementKind element;
    bool is_param;
    const char *copy_of;             // STATE: in no file; holds what the param of this name does. NULL: no copy
    int rank;                        // inner rank: every dim separate, in stored order
    int64_t extents[SLOT_MAX_RANK];
    int stored_rank;                 // axes as files show them
    int64_t stored_extents[SLOT_MAX_RANK];
    int piece_count;
    struct {
        int64_t weights[SLOT_MAX_RANK];
        int64_t divisor, radix;
    } pieces[SLOT_MAX_PIECES];
    bool is_plain;                   // memory order == stored order: plain copy
    int parts;                       // > 1: the tensor is the sum of so many, one after the other in memory
    ProgramBuffer buffer;
    size_t bytes;
    int token_bytes;                 // INPUT of tokens: 2 or 4; else 0
    int init;                        // 0 normal(init_value), 1 constant init_value
    double init_value;
} ProgramSlot;

typedef struct {
    const char *name;                // "step", "eval", "logits"
    const ProgramStep *steps;
    uint32_t step_count;
    const ProgramSlot *slots;
    uint32_t slot_count;
    size_t state_bytes, arena_bytes;
    size_t scratch_bytes;            // of each thread
    void (*release)(void *owner);    // frees code and tables; shared by the programs of one compilation
    void *owner;
} Program;

const ProgramSlot *program_slot(const Program *program, SlotKind kind, const char *name);  // NULL when absent
void program_free(Program *program);

#endif
