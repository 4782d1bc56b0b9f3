// What the writer and the reader of records agree on.
#ifndef SINTER_DRIVER_BENCH_JSON_H
#define SINTER_DRIVER_BENCH_JSON_H

#include "driver/bench/bench.h"

#define BENCH_FORMAT "sinter bench"
#define BENCH_FORMAT_VERSION 1

const char *bench_role_name(VariantRole role);

#endif
