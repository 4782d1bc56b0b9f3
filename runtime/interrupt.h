// SIGINT and SIGTERM ask for a stop at the next safe place; a second one of the same kind ends the process at once.
#ifndef SINTER_RUNTIME_INTERRUPT_H
#define SINTER_RUNTIME_INTERRUPT_H

#include <stdbool.h>

void interrupt_install(void);     // forgets an earlier request
bool interrupt_requested(void);
void interrupt_restore(void);     // the handlers that were there before

#endif
