#!/bin/sh
# Training steps beside PyTorch's, eager and compiled, in turn: bench/peers/compare.py.
. bench/gpu/common.sh

python=${PYTHON:-python3}
"$python" -c 'import torch' 2>/dev/null || skip "PyTorch is not installed"
[ "$DRY" = 1 ] && skip "PyTorch needs a GPU"
export XDG_CACHE_HOME="$WORK/cache" TORCHINDUCTOR_CACHE_DIR="$WORK/inductor" PYTHONUNBUFFERED=1

# beside SECONDS MODEL PRECISION ROUNDS [FLAGS]: at most so many seconds, which compiling takes most of.
beside() {
    seconds=$1 model=$2 kind=$3 rounds=$4
    shift 4
    printf '%s, %s:\n\n```\n' "$model" "$kind"
    timeout "$seconds" "$python" bench/peers/compare.py --sinter "$SINTER" --device cuda --model "$model" \
        --dtype "$kind" --rounds "$rounds" "$@" || fail "$model $kind (at most $seconds s)"
    printf '```\n\n'
}

if has_precision bf16; then
    beside 45 char bf16 5
    beside 75 124m-gpu bf16 3
fi
beside 40 char tf32 5
beside 35 124m-gpu tf32 3 --no-compile
exit $failed
