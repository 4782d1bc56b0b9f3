// SIGINT, SIGTERM and SIGHUP (the terminal is gone) ask for a stop at the next safe place; another one, a tenth of a
// second later or more, ends the process at once.
#ifndef SINTER_RUNTIME_INTERRUPT_H
#define SINTER_RUNTIME_INTERRUPT_H

#include <stdbool.h>

// Pairs nest: only the outermost forgets an earlier request, and brings back the handlers that were there before.
void interrupt_install(void);
bool interrupt_requested(void);
void interrupt_restore(void);

#endif
