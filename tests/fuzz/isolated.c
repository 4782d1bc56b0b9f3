// A net in a child process (see net.h). Its exit code is the kind of verdict; what it says, or what it complained of
// before it died, comes through a pipe.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fuzz/net.h"

// Of the processors, for what turns in a circle; and by the clock, for threads that wait for each other. A machine with
// other work can be slow.
enum { BUSY_SECONDS = 60, LONGEST_SECONDS = 900 };

static _Noreturn void child(Arena *arena, Net net, const Graph *graph, uint64_t seed, int to_parent) {
    static const int signals[] = {SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGXCPU};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL); // not cmocka's
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    dup2(to_parent, STDERR_FILENO);
    setrlimit(RLIMIT_CPU, &(struct rlimit){BUSY_SECONDS, BUSY_SECONDS});
    alarm(LONGEST_SECONDS);
    Verdict verdict = net(arena, graph, seed);
    if (verdict.message) fprintf(stderr, "%s", verdict.message);
    _exit((int)verdict.kind);
}

Verdict isolated(Arena *arena, Net net, const Graph *graph, uint64_t seed) {
    int ends[2], status = 0;
    fflush(NULL);
    if (pipe(ends) != 0) BUG("no pipe");
    pid_t process = fork();
    if (process < 0) BUG("no process");
    if (process == 0) child(arena, net, graph, seed, ends[1]);
    close(ends[1]);
    Text said = text_create(arena);
    char bytes[4096];
    for (ssize_t count; (count = read(ends[0], bytes, sizeof bytes)) > 0;)
        text_append_bytes(&said, bytes, (size_t)count);
    close(ends[0]);
    waitpid(process, &status, 0);
    Verdict verdict = {VERDICT_CRASHED, text_string(&said)};
    if (WIFEXITED(status) && WEXITSTATUS(status) <= VERDICT_WRONG) verdict.kind = (VerdictKind)WEXITSTATUS(status);
    if (WIFSIGNALED(status))
        verdict.message = arena_format(arena, "%s (%s)", text_string(&said), strsignal(WTERMSIG(status)));
    if (verdict.kind == VERDICT_FINE) verdict.message = NULL;
    return verdict;
}
