// Memory that runs out when the test says so, and a count of everything that is not given back.
//
//     Scarce counted = scarce_run(work, context, 0, false);         // nothing fails: counted.requests is how many
//     there are for point in 1 .. counted.requests
//         Scarce result = scarce_run(work, context, point, ...);    // request number `point` is refused
//         result.outcome is OUT_OF_MEMORY, result.blocks and result.files are 0
//
// Arenas take a block for every request, so that each of them can fail; jansson's requests are counted, too. LLVM's are
// not: it does not survive them.
#ifndef SINTER_TESTS_ROBUST_SCARCE_H
#define SINTER_TESTS_ROBUST_SCARCE_H

#include <stdbool.h>

typedef enum { WORK_DONE, WORK_REFUSED, OUT_OF_MEMORY } Outcome;

typedef struct {
    Outcome outcome;
    long requests;      // of memory
    long blocks, files; // not given back
    int threads;        // still running
} Scarce;

// Runs `work` under a guard. It answers WORK_DONE or WORK_REFUSED (with a diagnostic of its own).
// point: the request that is refused, from 1; 0: none. lasting: and so are all after it.
Scarce scarce_run(Outcome (*work)(void *context), void *context, long point, bool lasting);

#endif
