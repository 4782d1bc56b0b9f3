#!/bin/sh
# The same training 100 times, from its start: the same loss each time, bit for bit.
. bench/gpu/common.sh

times=100 steps=8
[ "$DRY" = 1 ] && times=3 steps=2

# repeat NAME LEVELS FLAGS...
repeat() {
    name=$1 levels=$2
    shift 2
    on_gpu bench "$@" --device=cuda --levels="$levels" --anew=True --rounds=$times --steps=$steps >"$WORK/log" 2>&1 ||
        { tail -3 "$WORK/log" >&2; fail "$name does not run"; return; }
    sed -n 's/^repeats: \([^:]*\): \([0-9]*\) visits from the start, \([0-9]*\) of them .*/\1 \2 \3/p' "$WORK/log" |
        awk -v name="$name" '{ printf "| %s, %s | %s | %s |\n", name, $1, $2, $3; bad += $2 != $3; n++ }
                             END { exit bad > 0 || n == 0 }' || fail "$name: repeats differ"
}

make_data || exit 1
printf '| repeated from the start | times | with the same loss |\n|---|---|---|\n'
# shellcheck disable=SC2086
{
    repeat tiny none,op,all $tiny
    repeat "tiny, tf32" all $tiny --tf32=True
    [ "$DRY" = 1 ] || repeat character all $char
    [ "$DRY" = 1 ] || repeat "character, tf32" all $char --tf32=True
    if has_precision bf16; then repeat "tiny, bf16" all $tiny --dtype=bfloat16; fi
    if has_precision f16; then repeat "tiny, f16" all $tiny --dtype=float16; fi
}
exit $failed
