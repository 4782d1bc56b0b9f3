#!/bin/sh
# All that is to be measured on a GPU, in one call of less than 9 minutes, on a machine with a C compiler, CMake, and
# what NVIDIA and PyTorch bring, and nothing else (carried/ must hold two small libraries: scripts/carry-libraries).
#
#     COMMIT=$(git rev-parse --short HEAD) bench/gpu.sh
#
# Each part (bench/gpu/PART.sh) has a time limit of its own; one that fails does not stop the others, and is counted.
# Tables come last, and lie in bench/results/DATE-gpu.md. Returns the number of parts that failed.
#
#     PARTS="build parity"    only these        LIMIT=530    seconds for all        BUILD=build-gpu    where to build
#     DRY=1                   no GPU: the emulated one stands for it, everything is smaller, the page goes to standard
#                             output alone, and SINTER and FAKE may name a binary and an emulated GPU that are there
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build-gpu} DRY=${DRY:-0} LIMIT=${LIMIT:-530}
SINTER=${SINTER:-$PWD/$BUILD/sinter} FAKE=${FAKE:-$PWD/$BUILD/tests/fake_gpu}
WORK=$(mktemp -d)
export BUILD DRY SINTER FAKE WORK
trap 'rm -rf "$WORK"' EXIT
begun=$(date +%s) failed=0 skipped=0

# Seconds that a part may take; those that say the most come first.
limit_of() {
    case $1 in
    build) echo 120 ;;
    parity) echo 110 ;;
    repeats) echo 70 ;;
    micro) echo 60 ;;
    profile) echo 60 ;;
    launches) echo 60 ;;
    tune) echo 80 ;;
    peers) echo 200 ;;
    sanitizer) echo 90 ;;
    esac
}

title_of() {
    case $1 in
    build) echo "Build" ;;
    parity) echo "Parity with the processor" ;;
    repeats) echo "Repeats" ;;
    micro) echo "The GPU itself" ;;
    profile) echo "Kernels and their rooflines" ;;
    launches) echo "Launches" ;;
    tune) echo "What measuring finds" ;;
    peers) echo "Beside PyTorch" ;;
    sanitizer) echo "compute-sanitizer" ;;
    esac
}

smaller() { [ "$1" -lt "$2" ] && echo "$1" || echo "$2"; }

# Its tables are in $WORK/part.PART, its words in $WORK/log.PART, a row of the summary in $WORK/summary.
run_part() {
    part=$1 start=$(date +%s)
    limit=$(smaller "$(limit_of "$part")" $((begun + LIMIT - start)))
    [ "$DRY" = 1 ] && limit=1200
    echo "== $part (at most $limit s)" >&2
    status=124
    if [ "$limit" -gt 0 ]; then
        timeout -k 5 "$limit" sh "bench/gpu/$part.sh" >"$WORK/part.$part" 2>"$WORK/log.$part"
        status=$?
    fi
    case $status in
    0) result='done' ;;
    77) skipped=$((skipped + 1)) result="skipped: $(tail -1 "$WORK/part.$part")" && : >"$WORK/part.$part" ;;
    124 | 137) failed=$((failed + 1)) result="FAILED: out of time" ;;
    *) failed=$((failed + 1)) result="FAILED" ;;
    esac
    printf '| %s | %s | %s |\n' "$part" "$result" $(($(date +%s) - start)) >>"$WORK/summary"
    [ $status = 0 ] || tail -5 "$WORK/log.$part" >&2
}

# The device, as the driver and sinter describe it.
describe() {
    [ "$DRY" = 1 ] && echo "A dry run: no GPU, the emulated one stands for it." && return
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>&1
    sed -n '/^gpu/p;/^cuda/p;/^nvrtc/p' "$WORK/info" 2>/dev/null
    command -v nvcc >/dev/null && nvcc --version | tail -2 | head -1
}

page() {
    commit=${COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}
    # shellcheck disable=SC2016
    printf '# GPU, %s\n\nCommit %s; `bench/gpu.sh`, one run.\n\n```\n' "$(date -u +%Y-%m-%d)" "$commit"
    describe
    printf '```\n\n'
    printf '| part | | seconds |\n|---|---|---|\n'
    cat "$WORK/summary"
    printf '\n%d failed, %d skipped.\n' "$failed" "$skipped"
    for part in $parts; do
        [ -s "$WORK/part.$part" ] || grep -q 'FAILED' "$WORK/log.$part" 2>/dev/null || continue
        printf '\n## %s\n\n' "$(title_of "$part")"
        cat "$WORK/part.$part"
        grep '^FAILED' "$WORK/log.$part" 2>/dev/null | sed 's/^/- /'
    done
}

parts=${PARTS:-build parity repeats micro profile launches peers tune sanitizer}
for part in $parts; do run_part "$part"; done
page >"$WORK/page"
if [ "$DRY" != 1 ]; then
    results="bench/results/$(date -u +%Y-%m-%d)-gpu.md"
    cp "$WORK/page" "$results"
    # Where a folder is named whose files come back, the page and the parts' words go there, too.
    [ -z "${OUT:-}" ] || { cp "$WORK/page" "$OUT/gpu.md" && cat "$WORK"/log.* >"$OUT/gpu.log"; }
    echo "written: $results" >&2
fi
cat "$WORK/page"
exit "$failed"
