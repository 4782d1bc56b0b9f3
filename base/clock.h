// The monotonic clock, in seconds from an arbitrary start.
#ifndef SINTER_BASE_CLOCK_H
#define SINTER_BASE_CLOCK_H

double clock_seconds(void);

#endif
