// What is computed of a product's sum before it is stored, where that is what libraries compute, too:
//
//     result = gelu(sum + added + bias)     a matrix as large as the result is added; a bias, one number for each place
//                                           along the result's lines; gelu in its tanh form; each of them, or not
//
// The order of both additions is the library's.
#ifndef SINTER_IR_EPILOGUE_H
#define SINTER_IR_EPILOGUE_H

#include "ir/plan.h"

enum { MOST_ADDENDS = 2 };
typedef struct {
    View addends[MOST_ADDENDS];   // of the step's operands
    int addend_count;
    bool is_gelu;
} Epilogue;

// Of the step's contraction `sum`. NULL, or what is computed that no library computes.
const char *epilogue_of(const Plan *plan, const Step *step, NodeId sum, const Layout *const *layouts,
                        Epilogue *epilogue);

#endif
