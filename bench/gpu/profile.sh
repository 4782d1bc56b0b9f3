#!/bin/sh
# Where a step's time goes, each kernel beside its roofline: the pages of `sinter profile`.
. bench/gpu/common.sh

gpt2="--n_layer=12 --n_head=12 --n_embd=768 --block_size=1024 --batch_size=8 --vocab_size=50304 --bias=False
    --gradient_accumulation_steps=1 --dropout=0.0 --eval_interval=0 --data_dir=$WORK/none"

# page NAME LINES FLAGS...
page() {
    name=$1 lines=$2
    shift 2
    echo "$name:"
    echo
    if on_gpu profile "$@" --device=cuda >"$WORK/page" 2>"$WORK/log"; then
        { echo '```'; head -"$lines" "$WORK/page"; echo '```'; echo; }
    else
        tail -3 "$WORK/log" >&2
        fail "$name"
        printf 'FAILED\n\n'
    fi
}

make_data || exit 1
# shellcheck disable=SC2086
if [ "$DRY" = 1 ]; then
    page "tiny model" 60 $tiny --steps=2
    echo "engine * cublaslt" >"$WORK/choices"
    page "tiny model in bf16, products by cuBLASLt" 30 $tiny --dtype=bfloat16 --steps=2 --choices="$WORK/choices"
else
    page "character model, f32" 60 $char
    page "character model, tf32" 60 $char --tf32=True
    if has_precision bf16; then page "character model, bf16" 60 $char --dtype=bfloat16; fi
    page "GPT-2 124M, 8 x 1024 tokens, tf32" 70 $gpt2 --tf32=True --steps=3
    if has_precision bf16; then
        page "GPT-2 124M, 8 x 1024 tokens, bf16" 70 $gpt2 --dtype=bfloat16 --steps=3
        echo "forbid sweep" >"$WORK/choices"
        page "the same, attention step by step" 70 $gpt2 --dtype=bfloat16 --steps=3 --choices="$WORK/choices"
        echo "forbid product by warpgroups" >"$WORK/choices"
        page "the same, products by mma.sync" 70 $gpt2 --dtype=bfloat16 --steps=3 --choices="$WORK/choices"
        echo "engine * cublaslt" >"$WORK/choices"
        page "the same, products by cuBLASLt where it can" 70 $gpt2 --dtype=bfloat16 --steps=3 --choices="$WORK/choices"
    fi
fi
exit $failed
