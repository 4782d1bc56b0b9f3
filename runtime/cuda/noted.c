// Runs that were submitted -> launches: several in a row are one graph, and so is an iteration of micro-batches.
//
//     submit   micro micro step micro micro step | micro ..      3 runs an iteration, at most 8 a launch:
//     launch   [micro micro step micro micro step]               two iterations; a third one would not fit
//
//     submit   eval eval eval | micro ..                         another program begins: what is noted goes one by one
//
// A graph is made when its runs have first come together: most sequences never do, and what is not full is as fast one
// by one.
#include <string.h>

#include "runtime/cuda/session_parts.h"

enum { FOLLOWS = 2 };   // CudaOrder.place

static uint32_t noted_runs(const CudaSession *session) { return (uint32_t)(session->submitted - session->launched); }

static CudaSequence *find_sequence(const CudaSession *session, uint32_t count) {
    for (CudaSequence *sequence = session->sequences; sequence; sequence = sequence->next)
        if (sequence->count == count && memcmp(sequence->runs, session->noted, count * sizeof *session->noted) == 0)
            return sequence;
    return NULL;
}

static CudaSequence *new_sequence(CudaSession *session, uint32_t count, Diags *diags) {
    CudaGraphExec exec = NULL;
    if (!cuda_graph_build(session, session->noted, count, &exec, diags)) return NULL;
    CudaSequence *sequence = memory_allocate(sizeof *sequence);
    *sequence = (CudaSequence){.next = session->sequences, .count = count, .exec = exec};
    memcpy(sequence->runs, session->noted, count * sizeof *session->noted);
    session->sequences = sequence;
    return sequence;
}

void cuda_sequences_free(CudaSession *session) {
    for (CudaSequence *next; session->sequences; session->sequences = next) {
        next = session->sequences->next;
        session->settings.driver->graph_exec_destroy(session->sequences->exec);
        memory_release(session->sequences);
    }
}

static bool flush(CudaSession *session, bool is_full, Diags *diags) {
    const CudaDriver *driver = session->settings.driver;
    uint32_t noted = noted_runs(session);
    CudaSequence *sequence = NULL;
    if (noted == 0) return true;
    if (is_full && noted > 1) {
        sequence = find_sequence(session, noted);
        if (!sequence && !(sequence = new_sequence(session, noted, diags))) return false;
    }
    CudaEvent last = session->copied[(session->submitted - 1) % CUDA_RING_ENTRIES];  // copies end in order
    CudaResult result = driver->stream_wait_event(session->compute, last, 0);
    for (uint32_t i = 0; i < (sequence ? 1 : noted) && result == CUDA_OK; i++)
        result = driver->graph_launch(sequence ? sequence->exec : session->noted[i]->single, session->compute);
    session->launched = session->submitted;
    return cuda_check(driver, result, "start a step", diags);
}

bool cuda_session_flush(CudaSession *session, Diags *diags) { return flush(session, false, diags); }

// Whether a launch ends here: it has all the runs it may have, or an iteration is over and the next one does not fit.
static bool is_full(const CudaSession *session, bool goes_on) {
    uint32_t noted = noted_runs(session), most = session->settings.runs_per_launch;
    return noted == most || (!goes_on && noted + session->iteration_runs > most);
}

bool cuda_session_submit(CudaSession *session, const CudaProgram *program, CudaOrder order, Diags *diags) {
    CHECK(cuda_session_under_way(session) < CUDA_RING_ENTRIES);  // the entry's last reader has given its result
    const CudaBound *bound = cuda_bound(session, program);
    bool begins = session->iteration_runs == 0 || order.place != FOLLOWS;
    if (begins && noted_runs(session) > 0 && session->noted[0] != bound && !flush(session, false, diags)) return false;
    if (!cuda_copy_entry(session, order, diags)) return false;
    session->noted[noted_runs(session)] = bound;
    session->submitted++;
    session->iteration_runs = begins ? 1 : session->iteration_runs + 1;
    bool done = is_full(session, order.goes_on) ? flush(session, true, diags) : true;
    if (!order.goes_on) session->iteration_runs = 0;
    return done;
}
