#!/bin/sh
# Speed of nanoGPT's character model (4 layers, 128 wide, B=12, T=64, f32), levels op and all alternated, beside the
# measured peak. Prints for each run: ms, tok/s, MFU of this device by nanoGPT's formula and by the products' true flops,
# and the state of the machine (barrier latency) before and after.
#     bench/char_model.sh [ITERATIONS] [ROUNDS] [LEVELS]
# OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are cleared: they force slower kernels than OpenBLAS would choose.
set -eu
cd "$(dirname "$0")/.."
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
iterations=${1:-400} rounds=${2:-3} levels=${3:-"op all"}
sinter=${SINTER:-build/sinter} threads=${THREADS:-0}
[ -s data/shakespeare_char/train.bin ] || "$sinter" prepare "$(scripts/text)" -o data/shakespeare_char
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$sinter" info
barrier() { "$sinter" info | sed -n 's/^barrier *\([0-9]*\) ns.*/\1/p'; }

printf '%-6s %9s %10s %8s %10s %12s %s\n' level ms/iter tok/s mfu% true-mfu% GFLOP/iter 'barrier ns before/after'
for round in $(seq "$rounds"); do
    for level in $levels; do
        before=$(barrier)
        "$sinter" train configs/train_shakespeare_char.cfg --device=cpu --eval_interval=0 --log_interval=1 \
            --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --max_iters="$iterations" \
            --lr_decay_iters=2000 --dropout=0.0 --fuse="$level" --threads="$threads" --out_dir="$folder/out" >"$folder/log"
        after=$(barrier)
        sed -n "s|^median \([0-9.]*\) ms/iter.*formula (\([0-9.]*\) GFLOP/iter), mfu \([0-9.]*\)% .*products alone \([0-9.]*\) GFLOP/iter, \([0-9.]*\)%.*|\1 \3 \5 \4|p" "$folder/log" |
            awk -v level="$level" -v before="$before" -v after="$after" \
                '{ printf "%-6s %9s %10.0f %8s %10s %12s %s/%s\n", level, $1, 768000 / $1, $2, $3, $4, before, after }'
    done
done
