#!/bin/sh
# sinter check passes for both shipped models at every level, with odd sizes and dropout too.
sinter=$1
failures=0
run() {
    "$sinter" check "$@" --device=cpu || { echo "failed: $*"; failures=$((failures + 1)); }
}
for level in none op all; do
    run --model=gpt2 --fuse=$level --n_embd=64 --n_head=4 --n_layer=2 --batch_size=2 --block_size=24 --vocab_size=65
    run --model=gpt2 --fuse=$level --n_embd=51 --n_head=3 --n_layer=1 --batch_size=3 --block_size=13 --vocab_size=33 \
        --bias=True --gelu=tanh --dropout=0.2 --full
    run --model=llama --fuse=$level --n_embd=64 --n_head=4 --n_kv_head=2 --n_ffn=88 --n_layer=2 --batch_size=2 \
        --block_size=24 --vocab_size=65
done
# Large enough for a strand of the whole step.
run --model=gpt2 --fuse=all --n_embd=128 --n_head=4 --n_layer=4 --batch_size=12 --block_size=64 --vocab_size=65 \
    --bias=True --dropout=0.1 --full
run --model=llama --fuse=all --n_embd=128 --n_head=4 --n_kv_head=2 --n_ffn=320 --n_layer=4 --batch_size=12 \
    --block_size=64 --vocab_size=65 --full
exit "$failures"
