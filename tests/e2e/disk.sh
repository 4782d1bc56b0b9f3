#!/bin/sh
# A disk for real, a small file system of its own: full, nearly full, not to be written. Skipped where none can be mounted.
if [ -z "$SINTER_MOUNTS" ]; then
    if ! unshare -rm sh -c 'mount -t tmpfs tmpfs /mnt' 2>/dev/null; then
        [ -z "$SINTER_SKIPPED" ] || echo "e2e/disk.sh: no file system can be mounted" >>"$SINTER_SKIPPED"
        exit 77
    fi
    SINTER_MOUNTS=own exec unshare -rm sh "$0" "$@"
fi
. "$(dirname "$0")/common.sh"
prepare_text
mkdir disk && mount -t tmpfs -o size=6m tmpfs disk || exit 1
trap 'umount "$folder/disk"; rm -rf "$folder"' EXIT
# Checkpoints of 2.5 MB: two are written, the third is not.
keys="--dataset=text --n_layer=1 --n_head=2 --n_embd=128 --block_size=16 --batch_size=2 --gradient_accumulation_steps=1
      --eval_interval=10 --eval_iters=1 --always_save_checkpoint=True --max_iters=40"

run 5 "disk/run/ckpt.safetensors.tmp.*: cannot write: No space left on device" train $keys --out_dir=disk/run
grep -q "there should be room for two" log && complain "a warning while there is room for two"
ls disk/run | grep -q tmp && complain "left over: $(ls disk/run)"
cp disk/run/ckpt.safetensors before
run 5 "No space left on device" train --init_from=resume --out_dir=disk/run
grep -q "warning: disk/run: 1..* MB are free, and a checkpoint takes 2.5 MB; there should be room for two" log ||
    complain "no warning of a disk with room for less than one"
cmp before disk/run/ckpt.safetensors || complain "the checkpoint before is not the same"

# With room again, it is the run that met no full disk.
mount -o remount,size=20m disk
run 0 "iter 40:" train --init_from=resume --out_dir=disk/run
run 0 "iter 40:" train $keys --out_dir=whole
same_tensors whole/ckpt.safetensors disk/run/ckpt.safetensors || complain "another run after a full disk"

# What may not be written is found before the first step, also where no metrics are; what only reads needs no more.
mount -o remount,ro disk
for keeps in metrics.jsonl none; do
    run 5 "Read-only file system" train --init_from=resume --max_iters=50 --out_dir=disk/run --metrics=$keeps
    grep -q "^iter" log && complain "steps were made for a folder that cannot be written"
done
run 5 "Read-only file system" train $keys --out_dir=disk/other
run 0 "step 41: train loss" train --init_from=resume --out_dir=disk/run --eval_only
run 0 "" sample --out_dir=disk/run --num_samples=1 --max_new_tokens=5
exit "$failures"
