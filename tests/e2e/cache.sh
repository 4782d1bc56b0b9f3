#!/bin/sh
# Code from the cache is the code that was compiled: the same checkpoint, cold, warm, from a damaged cache and without one.
# cache.sh SINTER
set -eu
sinter=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$folder/cache"

i=0
while [ $i -lt 400 ]; do
    echo "to be or not to be, that is the question $i"
    i=$((i + 1))
done >"$folder/text"
"$sinter" prepare "$folder/text" -o "$folder/data" >/dev/null

fail() {
    echo "cache.sh: $1"
    exit 1
}

# train NAME KEY...: the hash of its weights in $weights, its words in $folder/NAME.log
train() {
    name=$1
    shift
    "$sinter" train --train_bin="$folder/data/train.bin" --val_bin="$folder/data/val.bin" --n_layer=2 --n_head=2 \
        --n_embd=32 --block_size=16 --batch_size=4 --max_iters=3 --gradient_accumulation_steps=1 --eval_interval=0 \
        --time=True --threads=2 --out_dir="$folder/out" "$@" >"$folder/$name.log" 2>&1 ||
        { cat "$folder/$name.log"; fail "$name: training failed"; }
    file="$folder/out/ckpt.safetensors" # its header says how often was saved in this folder
    weights=$(tail -c +$(($(od -An -tu8 -N8 "$file") + 9)) "$file" | cksum)
}
recalled() { grep -q "from the cache" "$folder/$1.log"; }
entries() { find "$XDG_CACHE_HOME/sinter/code" -name '*.objects' | wc -l; }

train without --cache=False
expected=$weights
[ ! -e "$XDG_CACHE_HOME" ] || fail "a cache was made though none was wanted"
train cold
[ "$weights" = "$expected" ] || fail "cold: other weights"
recalled cold && fail "cold: there was nothing to take"
[ "$(entries)" = 1 ] || fail "cold: nothing was kept"
train warm
[ "$weights" = "$expected" ] || fail "warm: other weights"
recalled warm || fail "warm: compiled again"
train other --n_embd=64
recalled other && fail "another model took this one's code"
[ "$(entries)" = 2 ] || fail "another model's code was not kept"

# one changed byte in every entry: said, removed, compiled again, kept again
for entry in "$XDG_CACHE_HOME"/sinter/code/*.objects; do
    printf 'X' | dd of="$entry" bs=1 seek=5000 conv=notrunc 2>/dev/null
done
train damaged
[ "$weights" = "$expected" ] || fail "damaged: other weights"
recalled damaged && fail "damaged: taken"
grep -q "is damaged; removed, and made again" "$folder/damaged.log" || fail "damaged: not said"
train again
recalled again || fail "not kept again"
[ "$weights" = "$expected" ] || fail "again: other weights"

# a folder that others can write to is not used, which is said
chmod 755 "$XDG_CACHE_HOME/sinter/code"
train open
grep -q "is open to others; chmod 700 it" "$folder/open.log" || fail "open: not said"
recalled open && fail "open: taken"
[ "$weights" = "$expected" ] || fail "open: other weights"
echo "cache: ok"
