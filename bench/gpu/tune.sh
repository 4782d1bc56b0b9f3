#!/bin/sh
# What measuring finds that the cost model did not: blocks of products in tensor cores, and cuBLASLt. Before, after, and
# the choices that won.
. bench/gpu/common.sh

gpt2="$training --n_layer=12 --n_head=12 --n_embd=768 --block_size=1024 --batch_size=8 --bias=False"

# tuned NAME SECONDS FLAGS...
tuned() {
    name=$1 seconds=$2
    shift 2
    echo "$name, $seconds s:"
    echo
    if on_gpu train "$@" --device=cuda --quiet=False --tune=all --tune_seconds="$seconds" --max_iters=1 \
        --always_save_checkpoint=False --out_dir="$WORK/tuned" >"$WORK/log" 2>&1; then
        { echo '```'; grep -E '^tuned?: ' "$WORK/log" | grep -v 'not kept$'; echo '```'; echo; }
    else
        tail -3 "$WORK/log" >&2
        fail "$name"
        printf 'FAILED\n\n'
    fi
}

make_data || exit 1
# shellcheck disable=SC2086
if [ "$DRY" = 1 ]; then
    tuned "tiny model" 4 $tiny
else
    tuned "character model, tf32" 10 $char --tf32=True
    if has_precision bf16; then
        tuned "character model, bf16" 10 $char --dtype=bfloat16
        # The last key wins: these tokens are below 65, the vocabulary is GPT-2's.
        tuned "GPT-2 124M, 8 x 1024 tokens, bf16" 30 $gpt2 --vocab_size=50304 --dtype=bfloat16
    fi
fi
exit $failed
