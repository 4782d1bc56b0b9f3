#!/bin/sh
# compute-sanitizer on some steps of a small model: accesses outside of memory (memcheck), races in shared memory
# (racecheck).
. bench/gpu/common.sh

tool=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
[ -x "$tool" ] || skip "compute-sanitizer is not installed"
[ "$DRY" = 1 ] && skip "compute-sanitizer needs a GPU"

# examine WHICH LEVEL PRECISION
examine() {
    # shellcheck disable=SC2046,SC2086
    XDG_CACHE_HOME=$WORK/cache timeout 60 "$tool" --tool "$1" --error-exitcode 9 "$SINTER" train $tiny \
        $(precision "$3") --device=cuda --fuse="$2" --max_iters=2 --out_dir="$WORK/out" >"$WORK/log" 2>&1
    status=$?
    words=$(sed -n 's/^=* *\(ERROR SUMMARY: .*\|RACECHECK SUMMARY: .*\)/\1/p' "$WORK/log" | tail -1)
    printf '| %s | %s, %s | %s | %s |\n' "$1" "$2" "$3" "$([ $status = 0 ] && echo clean || echo "FAILED ($status)")" \
        "${words:-$(tail -1 "$WORK/log")}"
    [ $status = 0 ] || { head -40 "$WORK/log" >&2; fail "$1 $2 $3"; }
}

make_data || exit 1
printf '| compute-sanitizer | level | | |\n|---|---|---|---|\n'
for which in memcheck racecheck; do
    examine $which all f32
    examine $which all tf32
    if has_precision bf16; then examine $which all bf16; fi
    if has_precision f16; then examine $which all f16; fi
done
examine memcheck op f32
exit $failed
