#!/bin/sh
# A run that is saved, stopped or interrupted, and goes on, is the run that was not: the same weights, moments, losses and
# samples, byte by byte. Short by default; KEEP_RESUMES=20 in the environment resumes from that many checkpoints.
. "$2/tests/e2e/common.sh"
prepare_text
resumes=${KEEP_RESUMES:-3}
# Of the iterations from $2 on, in the metrics of $1: everything but the times.
losses() {
    sed -n 's/,"ms".*//; /_loss/!p' "$1/metrics.jsonl" | tail -n +$(($2 + 1))
}
sample() {
    "$sinter" sample --out_dir="$1" --num_samples=1 --max_new_tokens=40 --seed=3 2>/dev/null | grep -v "^Overriding"
}
small="--dataset=text --n_layer=1 --n_head=2 --n_embd=32 --block_size=16 --batch_size=3 --dropout=0.1 --eval_iters=2
       --gradient_accumulation_steps=2 --learning_rate=1e-2 --warmup_iters=4 --lr_decay_iters=40 --min_lr=1e-3"

# Saved at each of 20 steps, resumed to 40, with other numbers of threads.
run 0 "iter 39:" train $small --max_iters=39 --eval_interval=5 --out_dir=whole --threads=2
sample whole >whole.text
run 0 "checkpoints: 20 written" train $small --max_iters=19 --eval_interval=1 --keep_last=20 --out_dir=saved
k=1 step=$(((20 + resumes - 1) / resumes)) equal=0 tried=0
while [ $k -le 20 ]; do
    mkdir from$k && cp saved/ckpt-$k.safetensors from$k/ckpt.safetensors 2>/dev/null ||
        cp saved/ckpt.safetensors from$k/ckpt.safetensors
    before=$failures
    run 0 "at iteration $k$" train --init_from=resume --out_dir=from$k --max_iters=39 --eval_interval=5 --threads=$((k % 3 + 1))
    same_tensors whole/ckpt.safetensors from$k/ckpt.safetensors || complain "weights or moments from $k on"
    losses whole $k >expected && losses from$k 0 >found && cmp expected found || complain "losses from $k on"
    [ "$(wc -l <found)" = $((40 - k)) ] || complain "$(wc -l <found) losses from $k on"
    sample from$k | cmp - whole.text || complain "samples from $k on"
    [ $before = $failures ] && equal=$((equal + 1))
    tried=$((tried + 1)) k=$((k + step))
done
echo "$equal of $tried resumed runs equal the uninterrupted one"
# The same with micro-batches so large that each is a strand.
large="--dataset=text --n_layer=2 --n_head=4 --n_embd=128 --block_size=64 --batch_size=12 --dropout=0.1 --eval_interval=0
       --gradient_accumulation_steps=3 --learning_rate=1e-3 --warmup_iters=2 --lr_decay_iters=20"
run 0 "iter 7:" train $large --max_iters=7 --out_dir=strands --threads=2
run 0 "iter 3:" train $large --max_iters=3 --out_dir=halfway --threads=1
run 0 "iter 7:" train --init_from=resume --out_dir=halfway --max_iters=7 --threads=3
same_tensors strands/ckpt.safetensors halfway/ckpt.safetensors || complain "weights or moments from the middle of strands"
losses strands 0 >expected && losses halfway 0 >found && cmp expected found || complain "losses from the middle of strands"
# Not the same run from another place in it.
mkdir other && cp saved/ckpt-2.safetensors other/ckpt.safetensors
run 0 "seed = 8, was 1337" train --init_from=resume --out_dir=other --max_iters=39 --eval_interval=5 --seed=8
same_tensors whole/ckpt.safetensors other/ckpt.safetensors >/dev/null && complain "another seed gives the same weights"

# Twice interrupted by signals, at whatever iteration they come.
long="--max_iters=3000 --eval_interval=0 --log_interval=1000"
run 0 "iter 3000:" train $small $long --out_dir=through
interrupt() { # signal, lines of metrics to wait for, arguments
    signal=$1 lines=$2
    shift 2
    "$sinter" train "$@" >log 2>&1 &
    child=$!
    for i in $(seq 1000); do
        [ "$(cat twice/metrics.jsonl 2>/dev/null | wc -l)" -gt "$lines" ] && break
        sleep 0.01
    done
    kill -"$signal" $child
    wait $child
    status=$?
    { [ $status = 75 ] && grep -q "the checkpoint is written" log; } || { tail -3 log; complain "exit $status after SIG$signal"; }
}
interrupt TERM 300 $small $long --out_dir=twice
interrupt HUP 1200 --init_from=resume --out_dir=twice --threads=1
run 0 "iter 3000:" train --init_from=resume --out_dir=twice
same_tensors through/ckpt.safetensors twice/ckpt.safetensors || complain "twice interrupted: weights or moments"
losses through 0 >expected && losses twice 0 >found && cmp expected found || complain "twice interrupted: losses"
run 0 "nothing is left to do: the next iteration is 3001" train --init_from=resume --out_dir=twice

# What resume takes from the checkpoint, and what from the command line.
run 0 "n_layer = 1 is the checkpoint's; 5 is not taken" train --init_from=resume --out_dir=saved --max_iters=21 --n_layer=5
run 0 "learning_rate = 0.5, was 0.01" train --init_from=resume --out_dir=saved --max_iters=22 --learning_rate=0.5
run 0 "iter 1: loss" train --model=llama --n_layer=1 --n_head=2 --n_kv_head=1 --n_embd=32 --n_ffn=24 --block_size=16 \
    --dataset=text --batch_size=2 --eval_interval=0 --gradient_accumulation_steps=1 --max_iters=1 --out_dir=llama --fuse=op
run 0 "iter 2: loss" train --init_from=resume --out_dir=llama --max_iters=2
grep -q "other plans" log && complain "level op became another one"
run 3 "nowhere: no checkpoint to go on from" train --init_from=resume --out_dir=nowhere
run 2 "'scratch', 'resume' or a .safetensors file" train --init_from=gpt2-xl --out_dir=saved
# A damaged newest one is skipped, and said to be.
printf 'x' | dd of=saved/ckpt.safetensors bs=1 seek=$(($(wc -c <saved/ckpt.safetensors) - 9)) conv=notrunc 2>/dev/null
run 0 "warning: skipped saved/ckpt.safetensors: damaged: tensor" train --init_from=resume --out_dir=saved --max_iters=23
grep -q "Resuming training from saved/ckpt-22.safetensors at iteration 22" log || complain "not from the one before"
# From a file: its parameters, a new training.
run 0 "iter 0: loss" train $small --init_from=saved/ckpt-best.safetensors --max_iters=0 --eval_interval=0 --out_dir=new

# An evaluation alone changes nothing.
ls -l --time-style=full-iso whole >before
run 0 "step 40: train loss" train --init_from=resume --out_dir=whole --eval_only --eval_interval=0
ls -l --time-style=full-iso whole | cmp - before || complain "eval_only wrote something"
# Quiet is quiet, also of what goes on without being asked for.
[ -z "$("$sinter" train --init_from=resume --out_dir=whole --quiet --max_iters=45 2>&1)" ] || complain "--quiet spoke"
exit "$failures"
