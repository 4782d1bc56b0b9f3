#!/bin/sh
# What a run does when the world is against it: not finite, no memory, no room, two in one folder.
. "$2/tests/e2e/common.sh"
prepare_text
small="--dataset=text --n_layer=1 --n_head=2 --n_embd=32 --block_size=16 --batch_size=3 --eval_interval=0 --bias=True
       --decay_lr=False --weight_decay=0"

# A learning rate that blows the weights up: after some updates the loss is not finite. The update of that step is not made:
# what is saved are the weights of the step before, at every level, with and without clipping and micro-batches.
for level in none op all; do
    for keys in "--grad_clip=0 --gradient_accumulation_steps=1" "--grad_clip=1 --gradient_accumulation_steps=2"; do
        wild="$small $keys --fuse=$level --learning_rate=1e30"
        rm -rf blown before
        run 6 "no update was made; the state before it is in blown/ckpt.safetensors" train $wild --max_iters=50 --out_dir=blown
        at=$(sed -n 's/.*error: iteration \([0-9]*\): loss is.*/\1/p;s/^error: iteration \([0-9]*\): loss.*/\1/p' log | head -1)
        [ "${at:-0}" -ge 1 ] || { tail -3 log; complain "level $level: halted at '$at'"; continue; }
        run 0 "iter $((at - 1)):" train $wild --max_iters=$((at - 1)) --out_dir=before
        same_tensors before/ckpt.safetensors blown/ckpt.safetensors || complain "level $level $keys: an update was made at $at"
    done
    run 6 "3 iterations before it were skipped" train --init_from=resume --nonfinite=skip --out_dir=blown
    same_tensors before/ckpt.safetensors blown/ckpt.safetensors || complain "level $level: skipped, and yet updated"
done

# Memory: refused before the first step, with the figure and what to lower.
big="$small --gradient_accumulation_steps=1 --block_size=1024 --batch_size=64"
if (ulimit -v 1500000 && "$sinter" --help >/dev/null 2>&1); then # not so with a sanitizer, which takes more addresses
    (ulimit -v 1500000 && exec "$sinter" train $big --fuse=op --out_dir=big >log 2>&1)
    status=$?
    { [ $status = 4 ] && grep -q "this run needs .* and ulimit -v leaves it .*; lower batch_size (64) or block_size (1024)" log; } ||
        { tail -3 log; complain "exit $status of a run without memory"; }
fi

# Files that may not grow, as on a full disk: exit code 5, and the checkpoint that was there.
keys="$small --gradient_accumulation_steps=1"
run 0 "iter 3:" train $keys --max_iters=3 --out_dir=full --metrics=none
cp full/ckpt.safetensors kept
(ulimit -f 100 && exec "$sinter" train --init_from=resume --max_iters=9 --out_dir=full --metrics=none >log 2>&1)
status=$?
{ [ $status = 5 ] && grep -q "cannot write" log; } || { tail -3 log; complain "exit $status on a full disk"; }
[ "$(ls full | grep -c tmp)" = 0 ] || complain "left over: $(ls full)"
run 0 "at iteration 4$" train --init_from=resume --max_iters=9 --out_dir=full --metrics=none
cmp kept full/ckpt-4.safetensors || complain "the checkpoint before the full disk is not the same"
touch file
run 5 "file" train $keys --out_dir=file/out
# Nothing can be created there: found before the first step, not by the first checkpoint.
run 5 "/proc/ckpt.safetensors.tmp.*: cannot create" train $keys --max_iters=1 --out_dir=/proc --metrics=none
grep -q "^iter" log && complain "steps were made for a folder that cannot be written"

# One folder, two trainings.
"$sinter" train $keys --max_iters=1000000 --log_interval=100000 --out_dir=shared >first.log 2>&1 &
child=$!
for i in $(seq 1000); do
    [ -s shared/metrics.jsonl ] && break
    sleep 0.01
done
run 2 "shared: another sinter train writes there" train $keys --max_iters=1 --out_dir=shared
touch shared/ckpt.safetensors.tmp.1 shared/metrics.jsonl.tmp.2
kill -TERM $child
wait $child
status=$?
[ $status = 75 ] || complain "exit $status of the first in the folder"
run 0 "removed 2 files that an interrupted save left" train --init_from=resume --max_iters=0 --out_dir=shared
ls shared | grep -q tmp && complain "left over: $(ls shared)"
run 0 "holds checkpoints of an earlier run" train $keys --max_iters=1 --out_dir=shared

# A reader of the log that goes away does not end the training.
"$sinter" train $keys --max_iters=300 --log_interval=1 --out_dir=piped 2>/dev/null | head -2 >/dev/null
[ "$(wc -l <piped/metrics.jsonl)" = 301 ] || complain "a closed pipe ended the training"
exit "$failures"
