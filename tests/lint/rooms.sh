#!/bin/sh
# The include table of docs/architecture.md, checked: every #include "room/..." must be allowed for its room, and
# outside libraries stay in their one place.
cd "$1" || exit 2
failures=0

complain() {
    echo "$1"
    failures=$((failures + 1))
}

# room, then an extended regular expression of what it may include
check() {
    room=$1 allowed=$2
    for file in $(find "$room" -name '*.[ch]'); do
        grep -nE '^#include "' "$file" | grep -vE "^[0-9]+:#include \"($allowed)" | while read -r line; do
            echo "$file:$line"
        done
    done
}
bad=$(
    check base 'base/'
    check ir '(base|ir)/'
    check frontend '(base|ir|frontend)/'
    check passes '(base|ir|passes)/'
    check codegen '(base|ir|codegen)/|runtime/(program|cuda/launch)\.h'
    check runtime '(base|runtime)/'
)
[ -z "$bad" ] || complain "includes across rooms that the house forbids:
$bad"

# frontend builds graphs and never sees plans; nobody but codegen/cpu sees LLVM or BLAS; threads are in one place
bad=$(grep -lE '#include "ir/(plan|target|ledger)\.h"' frontend/*.[ch])
[ -z "$bad" ] || complain "frontend must not know plans: $bad"
bad=$(grep -rlE '#include <(llvm-c|cblas)' --include='*.[ch]' base ir frontend passes codegen runtime driver | grep -v '^codegen/cpu/')
[ -z "$bad" ] || complain "LLVM and BLAS belong to codegen/cpu: $bad"
bad=$(grep -rlE '#include <pthread' --include='*.[ch]' base ir frontend passes codegen runtime driver | grep -vE '^(runtime/threads\.c|codegen/cpu/|codegen/cuda/cubins\.c)')
[ -z "$bad" ] || complain "threads belong to runtime/threads.c, codegen/cpu and codegen/cuda/cubins.c: $bad"
# only driver prints or exits (BUG and out-of-memory in base excepted)
bad=$(grep -nE '\b(printf|puts|putchar|exit) *\(' $(find ir frontend passes codegen runtime -name '*.c') | grep -vE 'snprintf|fprintf\(file')
[ -z "$bad" ] || complain "only driver/ prints or exits:
$bad"
# compile-time rooms use arenas
bad=$(grep -nE '\b(malloc|calloc|realloc|free) *\(' $(find ir frontend passes -name '*.c'))
[ -z "$bad" ] || complain "compile-time rooms allocate from arenas:
$bad"
# who skips says why, in the list that ctest ends with
bad=$(grep -rnE '(^|[^_a-z])skip\(\)' --include='*.c' tests; grep -rLE 'SINTER_SKIPPED' $(grep -rl 'exit 77' --include='*.sh' tests))
[ -z "$bad" ] || complain "skipped without a word (SKIP_TEST of tests/skipped.h, skip of tests/e2e/common.sh):
$bad"
long=$(find base ir frontend passes codegen runtime driver tests -name '*.[ch]' | xargs wc -l |
    awk '$2 != "total" && $1 > 700 { print $2 " has " $1 " lines" }')
[ -z "$long" ] || complain "one file, one idea (split at 700 lines):
$long"
wide=$(find base ir frontend passes codegen runtime driver include tests -name '*.[ch]' |
    xargs awk 'length > 120 { print FILENAME ":" FNR }')
[ -z "$wide" ] || complain "lines of more than 120 columns:
$wide"

[ "$failures" -eq 0 ] && echo "rooms: ok"
exit "$failures"
