# What the parts of bench/gpu.sh share; sourced by them. They get
#
#     WORK    a folder of their own making, the same for all parts
#     SINTER  the binary; FAKE: the folder of the emulated GPU (tests/cuda/fake_library.c)
#     DRY     1: no GPU; the emulated one stands for it, and everything is smaller
#
# A part prints its tables (Markdown) and returns 0, 1 when something in it failed, 77 when it cannot be done here.
# shellcheck shell=sh
set -u
# shellcheck disable=SC2034 # what a part returns
failed=0

# Sinter on the GPU, and on the emulation of one. Each has a cache of its own: their machine code is not the same.
on_gpu() {
    if [ "$DRY" = 1 ]; then
        LD_LIBRARY_PATH=$FAKE XDG_CACHE_HOME=$WORK/cache "$SINTER" "$@"
    else
        XDG_CACHE_HOME=$WORK/cache "$SINTER" "$@"
    fi
}
emulated() { LD_LIBRARY_PATH=$FAKE XDG_CACHE_HOME=$WORK/cache-emulated "$SINTER" "$@"; }

fail() {
    # shellcheck disable=SC2034
    failed=1
    echo "FAILED: $*" >&2
}
# skip REASON: the part cannot be done here.
skip() {
    echo "$*"
    exit 77
}

# ---- data and models

# Text in which every character follows from the one before it, but for one of three at random: a loss that falls.
make_text() {
    awk 'BEGIN {
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-."
        for (x = 7; i < 100000; i++) {
            x = (x * 1664525 + 1013904223) % 4294967296
            t = (t * 5 + 3 + int(x / 16777216) % 3) % 65
            printf "%s", substr(letters, t + 1, 1)
        }
    }'
}
make_data() {
    [ -s "$WORK/data/train.bin" ] && return
    make_text >"$WORK/text" && "$SINTER" prepare "$WORK/text" -o "$WORK/data" >&2
}

training="--train_bin=$WORK/data/train.bin --val_bin=$WORK/data/val.bin --gradient_accumulation_steps=1 --dropout=0.0
    --eval_interval=0 --log_interval=0 --warmup_iters=10 --learning_rate=1e-3 --lr_decay_iters=50 --min_lr=1e-4
    --vocab_size=65 --quiet=True"
# shellcheck disable=SC2034 # read by the parts
char="$training --n_layer=4 --n_head=4 --n_embd=128 --block_size=64 --batch_size=12 --bias=False"
# shellcheck disable=SC2034
tiny="$training --n_layer=2 --n_head=2 --n_embd=32 --block_size=16 --batch_size=4"
# What a model needs besides.
model_keys() { [ "$1" != llama ] || echo "--n_kv_head=1 --n_ffn=88"; }

# Whether this build computes in that precision: f32, tf32, bf16, f16.
precision() {
    case $1 in
    f32) echo "--tf32=False" ;;
    tf32) echo "--tf32=True" ;;
    bf16) echo "--dtype=bfloat16" ;;
    f16) echo "--dtype=float16" ;;
    esac
}
has_precision() {
    case $1 in bf16 | f16) ;; *) return 0 ;; esac
    ! on_gpu check --n_layer=1 --n_head=1 --n_embd=16 --block_size=8 --batch_size=1 --vocab_size=8 \
        --device=cuda "$(precision "$1")" 2>&1 | grep -q 'this build'
}

# losses FOLDER: "iteration loss" a line, of a training.
losses() { sed -n 's/^{"iter":\([0-9]*\),"loss":\([^,]*\),.*/\1 \2/p' "$1/metrics.jsonl"; }
# tensors FOLDER: a sum over its checkpoint's tensors, which is all behind its head.
tensors() {
    [ -s "$1/ckpt.safetensors" ] || { echo "no checkpoint in $1"; return; }
    head=$(od -An -tu8 -N8 "$1/ckpt.safetensors" | tr -d ' ')
    tail -c +$((head + 9)) "$1/ckpt.safetensors" | cksum
}
