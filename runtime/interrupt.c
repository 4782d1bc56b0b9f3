#include "runtime/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t requested;
static struct sigaction before_interrupt, before_terminate;
static bool installed;

static void request_stop(int signal) {
    (void)signal;
    requested = 1;
}

void interrupt_install(void) {
    struct sigaction action = {.sa_handler = request_stop};
    sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND | SA_RESTART; // the second signal finds the default: the process ends
    requested = 0;
    sigaction(SIGINT, &action, installed ? NULL : &before_interrupt);
    sigaction(SIGTERM, &action, installed ? NULL : &before_terminate);
    installed = true;
}

bool interrupt_requested(void) {
    return requested != 0;
}

void interrupt_restore(void) {
    if (!installed) return;
    sigaction(SIGINT, &before_interrupt, NULL);
    sigaction(SIGTERM, &before_terminate, NULL);
    installed = false;
}
