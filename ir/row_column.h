// Which way round a row step is swept.
#ifndef SINTER_IR_ROW_COLUMN_H
#define SINTER_IR_ROW_COLUMN_H

#include "ir/plan.h"

// The dim of a row step's rows that lies innermost in more of the memory that is read than the last dim it reduces:
// then numbers of the result run in lanes (x[B,T,C] summed over B,T: along C). DIM_NONE: what is reduced does.
DimId row_column(const Plan *plan, const Step *step);

#endif
