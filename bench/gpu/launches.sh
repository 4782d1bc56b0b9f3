#!/bin/sh
# How steps are launched, side by side: kernels that begin while those before them end, or when they have ended; small
# ones merged, or each by itself; one kernel with barriers of the grid, or many; one step a launch, or several. The same
# losses in each row.
. bench/gpu/common.sh

# sweep NAME KEY VALUES FLAGS...
sweep() {
    name=$1 key=$2 values=$3
    shift 3
    on_gpu bench "$@" --device=cuda --sweep="$key:$values" --seconds=6 --json="$WORK/launches.json" >"$WORK/log" 2>&1 ||
        { tail -3 "$WORK/log" >&2; fail "$name, $key does not run"; return; }
    printf '%s, %s:\n\n```\n' "$name" "$key"
    sed -n '/variant/,/losses/p' "$WORK/log"
    printf '```\n\n'
}

make_data || exit 1
# shellcheck disable=SC2086
if [ "$DRY" = 1 ]; then
    sweep tiny dependent_launch False,True $tiny --rounds=2 --steps=2
    sweep tiny merge_launches False,True $tiny --rounds=2 --steps=2
    sweep tiny steps_per_launch 1,4 $tiny --rounds=2 --steps=8
    export SINTER_FAKE_GPU=few   # all blocks of a cooperative launch are emulated at once
    sweep tiny persistent False,True $tiny --rounds=2 --steps=2
else
    sweep "character model, f32" dependent_launch False,True $char
    sweep "character model, f32" merge_launches False,True $char
    sweep "character model, f32" persistent False,True $char
    sweep "character model, f32" steps_per_launch 1,2,4,8 $char
    sweep "character model, tf32" dependent_launch False,True $char --tf32=True
    sweep "character model, tf32" persistent False,True $char --tf32=True
    if has_precision bf16; then sweep "character model, bf16" dependent_launch False,True $char --dtype=bfloat16; fi
fi
exit $failed
