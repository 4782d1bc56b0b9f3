#!/bin/sh
# An activation budget changes memory and time, and no bit: losses and checkpoints are the same bytes without a budget, with
# the smallest one that can be met, and with one between, with any number of threads; and the step passes its check.
. "$2/tests/e2e/common.sh"
prepare_text
model="--model=gpt2 --n_layer=4 --n_head=2 --n_embd=64 --block_size=96 --batch_size=3 --bias=True --dropout=0.1"
train() {
    out=$1
    shift
    timeout 300 "$sinter" train $model --dataset=text --device=cpu --eval_interval=0 --gradient_accumulation_steps=1 \
        --max_iters=6 --out_dir="$out" --metrics="$out.metrics" "$@" >"$out.log" 2>&1
    status=$?
    [ $status -ne 0 ] || sed 's/"ms".*//' "$out.metrics" >"$out.losses"
    return $status
}
megabytes() { sed -n 's/.*activation budget: \([0-9.]*\) MB of activations.*/\1/p' "$1"; }

for level in op all; do
    train free --fuse=$level --activation_budget=100G || complain "level $level"
    train refused --fuse=$level --activation_budget=1
    [ $? -eq 4 ] || complain "level $level: a budget of one byte is not refused with exit code 4"
    least=$(sed -n 's/.*; allow \([0-9]*\) bytes.*/\1/p' refused.log)
    [ -n "$least" ] || complain "level $level: the refusal does not say what is possible"
    between=$(awk "BEGIN { printf \"%.3fM\", ($least / 1e6 + $(megabytes free.log)) / 2 }")
    for budget in "$least" "$between"; do
        for threads in 1 3; do
            train bound --fuse=$level --activation_budget="$budget" --threads=$threads ||
                { tail -3 bound.log; complain "level $level within $budget"; }
            grep -q "[1-9][0-9]* steps made again" bound.log || complain "level $level within $budget: nothing is made again"
            cmp free.losses bound.losses || complain "level $level: losses differ within $budget"
            same_tensors free/ckpt.safetensors bound/ckpt.safetensors || complain "level $level: weights differ within $budget"
        done
    done
    awk "BEGIN { exit !($(megabytes bound.log) < $(megabytes free.log)) }" || complain "level $level: nothing is saved"
    "$sinter" check $model --vocab_size=65 --fuse=$level --full --activation_budget="$least" --device=cpu ||
        complain "check at level $level within $least"
done
train refused --activation_budget=lots && complain "a budget of 'lots'"
grep -q "activation_budget = lots: bytes" refused.log || complain "no message about 'lots'"
exit "$failures"
