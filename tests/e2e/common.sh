# Sourced by the shell tests of this folder, NAME.sh SINTER SOURCE: a folder of its own for each, what counts failures.
# A test ends with `exit "$failures"`.
sinter=$1 source=$2 failures=0
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
. "$source/tests/e2e/tensors.sh"

complain() {
    echo "failed: $*"
    failures=$((failures + 1))
}

# skip WHY: the test cannot run here; ctest shows it, and ends with the reason.
skip() {
    echo "SKIP: $*"
    [ -z "$SINTER_SKIPPED" ] || echo "e2e/${0##*/}: $*" >>"$SINTER_SKIPPED"
    exit 77
}

# run CODE WORDS ARGUMENT...: sinter ends with that exit code and says these words; what it says is in the file `log`.
run() {
    code=$1 words=$2
    shift 2
    "$sinter" "$@" >log 2>&1
    status=$?
    { [ $status = "$code" ] && grep -q -e "$words" log; } || { tail -5 log; complain "exit $status, '$words': sinter $*"; }
}

# Something to train on: --dataset=text.
prepare_text() {
    cat "$source"/docs/*.md >text && "$sinter" prepare text -o data/text >/dev/null || exit 1
}
