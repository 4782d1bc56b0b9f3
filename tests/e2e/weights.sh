#!/bin/sh
# Weights in panels and their kept copies never show in files: tensors, gradients and samples are the same bytes
# whether states lie plainly (level none) or in panels (level all), also when a run at one level goes on at the other.
. "$2/tests/e2e/common.sh"
prepare_text
# Widths that are no multiple of a panel, and micro-batches, whose gradients are kept in panels too.
train() {
    "$sinter" train --dataset=text --device=cpu --eval_interval=4 --eval_iters=2 --gradient_accumulation_steps=2 \
        --batch_size=3 --block_size=12 --always_save_checkpoint=True --weight_decay=0.1 --lr_decay_iters=8 "$@" >log 2>&1 ||
        { tail -3 log; complain "train $*"; }
}
for model in "--model=gpt2 --n_embd=72 --n_head=3 --n_layer=2 --bias=True" \
             "--model=llama --n_embd=64 --n_head=4 --n_kv_head=2 --n_ffn=88 --n_layer=2"; do
    for level in none all; do
        train $model --fuse=$level --max_iters=8 --out_dir=$level --grads_out=$level.grads --metrics=$level.metrics
        "$sinter" sample --out_dir=$level --fuse=$level --num_samples=1 --max_new_tokens=30 --seed=3 2>/dev/null |
            grep -v "^Overriding" >$level.text
    done
    same_tensors none/ckpt.safetensors all/ckpt.safetensors || complain "checkpoints differ: $model"
    same_tensors none.grads all.grads || complain "gradients differ: $model"
    cmp none.text all.text || complain "samples differ: $model"
    for first in none all; do
        for second in none all; do
            train $model --fuse=$second --max_iters=4 --out_dir=more --init_from=$first/ckpt.safetensors
            [ $first$second = nonenone ] && cp more/ckpt.safetensors plain
            same_tensors plain more/ckpt.safetensors || complain "from $first on at $second: $model"
        done
    done
done
exit "$failures"
