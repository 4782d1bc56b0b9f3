#!/bin/sh
# sinter check passes for both shipped models at every level, with odd sizes and dropout too.
. "$2/tests/e2e/common.sh"
check() {
    "$sinter" check "$@" --device=cpu || complain "$@"
}
for level in none op all; do
    check --model=gpt2 --fuse=$level --n_embd=64 --n_head=4 --n_layer=2 --batch_size=2 --block_size=24 --vocab_size=65
    check --model=gpt2 --fuse=$level --n_embd=51 --n_head=3 --n_layer=1 --batch_size=3 --block_size=13 --vocab_size=33 \
        --bias=True --gelu=tanh --dropout=0.2 --full
    check --model=llama --fuse=$level --n_embd=64 --n_head=4 --n_kv_head=2 --n_ffn=88 --n_layer=2 --batch_size=2 \
        --block_size=24 --vocab_size=65
done
# Large enough for a strand of the whole step.
check --model=gpt2 --fuse=all --n_embd=128 --n_head=4 --n_layer=4 --batch_size=12 --block_size=64 --vocab_size=65 \
    --bias=True --dropout=0.1 --full
check --model=llama --fuse=all --n_embd=128 --n_head=4 --n_kv_head=2 --n_ffn=320 --n_layer=4 --batch_size=12 \
    --block_size=64 --vocab_size=65 --full
exit "$failures"
