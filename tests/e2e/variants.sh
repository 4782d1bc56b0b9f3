#!/bin/sh
# Models that exist only as specs (examples/*.spec): values and gradients at every level, and a few steps of training.
. "$2/tests/e2e/common.sh"
prepare_text
for spec in "$source"/examples/*.spec; do
    for level in none op all; do
        "$sinter" check "$spec" --fuse=$level --n_layer=1 --n_embd=36 --n_head=3 --block_size=21 --batch_size=2 \
            --vocab_size=31 >log || { cat log; complain "$spec at $level"; }
        tail -1 log
        "$sinter" check "$spec" --fuse=$level --n_layer=2 --n_embd=35 --n_head=5 --block_size=33 --batch_size=1 \
            --vocab_size=7 --dropout=0.2 --full >log || { cat log; complain "$spec at $level with dropout"; }
    done
    "$sinter" train "$spec" --dataset=text --eval_interval=0 --gradient_accumulation_steps=1 --batch_size=4 --max_iters=5 \
        --out_dir=out --n_layer=2 --n_embd=32 --n_head=2 --block_size=16 >log || { tail -3 log; complain "train $spec"; }
done
exit "$failures"
