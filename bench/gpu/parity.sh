#!/bin/sh
# Whether a GPU computes what a processor does. No LLVM is here, so three things stand for the CPU backend:
#
#   - the emulation: the same kernels, compiled by the C compiler and run by fibers on this machine's processor. Tests
#     (cuda.train, cuda.models) hold it against the CPU backend bit for bit; here it and the GPU train side by side, and
#     every loss, parameter and moment must have the same bits: every kernel of every level takes part, and no product
#     of cuBLASLt, whose bits are its own;
#   - the float64 reference (`sinter check`): loss, gradients, updates;
#   - losses that the CPU backend gave elsewhere, for the character model: bench/gpu/losses.txt (record.sh).
. bench/gpu/common.sh

steps=50 large_steps=10
[ "$DRY" = 1 ] && steps=3 large_steps=0

# side_by_side NAME FLAGS...: both train, the emulation in the background, into $WORK/NAME.gpu and $WORK/NAME.emulated.
side_by_side() {
    name=$1
    shift
    emulated train "$@" --device=cuda --out_dir="$WORK/$name.emulated" >"$WORK/$name.emulated.log" 2>&1 &
    on_gpu train "$@" --device=cuda --out_dir="$WORK/$name.gpu" >"$WORK/$name.gpu.log" 2>&1 ||
        { tail -3 "$WORK/$name.gpu.log" >&2; fail "$name does not train"; }
}

compare() {
    name=$1
    losses "$WORK/$name.gpu" >"$WORK/a" 2>/dev/null
    losses "$WORK/$name.emulated" >"$WORK/b" 2>/dev/null
    equal=$(paste -d' ' "$WORK/a" "$WORK/b" | awk 'NF == 4 && $2 == $4 { n++ } END { print n + 0 }')
    all=$(wc -l <"$WORK/b")
    states=differ
    [ "$(tensors "$WORK/$name.gpu")" = "$(tensors "$WORK/$name.emulated")" ] && states=equal
    printf '| %s | %s of %s | %s |\n' "$name" "$equal" "$all" "$states"
    if [ "$equal" != "$all" ] || [ "$all" = 0 ] || [ $states = differ ]; then
        fail "$name differs from the emulation"
    fi
}

side_by_side_all() {
    for model in gpt2 llama; do
        for level in none op all; do
            # shellcheck disable=SC2046,SC2086
            side_by_side "$model-$level" --model=$model $tiny $(model_keys $model) --fuse=$level \
                --choices="$WORK/own.choices" --max_iters=$((steps - 1))
        done
    done
    # shellcheck disable=SC2086
    [ $large_steps = 0 ] || side_by_side character-all $char --fuse=all --max_iters=$((large_steps - 1))
    wait
    printf '| side by side with the emulation | losses with equal bits | states at the end |\n|---|---|---|\n'
    for model in gpt2 llama; do
        for level in none op all; do compare "$model-$level"; done
    done
    [ $large_steps = 0 ] || compare character-all
    echo
}

# Of the line "check: ... worst value error 1e-08 (loss), worst gradient error ...: passed" in the log.
error_of() { sed -n "s/^check: .*worst $1 error \([^ ]*\) .*/\1/p" "$WORK/log"; }
verdict() { sed -n 's/^check: .*: \([a-z]*\)$/\1/p' "$WORK/log"; }

check_all() {
    printf '| against float64 | value | gradient | update | |\n|---|---|---|---|---|\n'
    for model in gpt2 llama; do
        for level in none op all; do
            # shellcheck disable=SC2046
            on_gpu check --model=$model --device=cuda --fuse=$level --gradient_accumulation_steps=1 --n_layer=2 \
                --n_head=2 --n_embd=32 --block_size=16 --batch_size=4 --vocab_size=65 $(model_keys $model) --full \
                >"$WORK/log" 2>&1 || fail "check $model $level"
            echo "| $model, $level | $(error_of value) | $(error_of gradient) | $(error_of update) | $(verdict) |"
        done
    done
    echo
}

# curve LEVEL PRECISION LIMIT: the character model's losses beside the recorded ones.
curve() {
    name="curve-$1-$2" many=$3
    # shellcheck disable=SC2046,SC2086
    on_gpu train $char $(precision "$2") --device=cuda --fuse="$1" --max_iters=$((many - 1)) --out_dir="$WORK/$name" \
        >"$WORK/log" 2>&1 || { tail -3 "$WORK/log" >&2; fail "$name does not train"; return; }
    losses "$WORK/$name" | paste -d' ' - "$WORK/recorded" | awk -v level="$1" -v precision="$2" -v limit="$4" '
        NF == 4 { n++; d = ($2 - $4) / $4; if (d < 0) d = -d; if (d > worst) worst = d; last = $2; theirs = $4 }
        END {
            good = n > 0 && worst <= limit && last == last
            printf "| %s, %s | %d | %s | %s | %.1e | %s %s |\n", level, precision, n, theirs, last, worst,
                good ? "within" : "BEYOND", limit
            exit !good
        }' || fail "$name leaves the curve of the CPU"
}

curves() {
    many=$(grep -vc '^#' bench/gpu/losses.txt)
    [ "$DRY" = 1 ] && many=2
    grep -v '^#' bench/gpu/losses.txt | head -"$many" >"$WORK/recorded"
    printf '| losses beside those of a CPU | steps | last, CPU | last, GPU | largest difference | |\n'
    printf '|---|---|---|---|---|---|\n'
    curve op f32 "$many" 2e-6 # products by cuBLASLt, here and below
    curve op tf32 "$many" 5e-3
    curve all f32 "$many" 2e-6
    curve all tf32 "$many" 5e-3
    if has_precision bf16; then
        curve op bf16 "$many" 2e-2
        curve all bf16 "$many" 2e-2
    else
        echo "| all, bf16 | | | | | not in this build |"
    fi
    if has_precision f16; then curve all f16 "$many" 5e-3; else echo "| all, f16 | | | | | not in this build |"; fi
    echo
}

make_data || exit 1
echo 'engine * tiles' >"$WORK/own.choices"
side_by_side_all
check_all
curves
exit $failed
