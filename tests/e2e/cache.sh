#!/bin/sh
# Code from the cache is the code that was compiled: the same checkpoint, cold, warm, from a damaged cache and without one.
. "$2/tests/e2e/common.sh"
prepare_text
export XDG_CACHE_HOME="$folder/cache"

# train NAME KEY...: the hash of its weights in $weights, its words in NAME.log
train() {
    name=$1
    shift
    "$sinter" train --dataset=text --n_layer=2 --n_head=2 --n_embd=32 --block_size=16 --batch_size=4 --max_iters=3 \
        --gradient_accumulation_steps=1 --eval_interval=0 --time=True --threads=2 --out_dir=out "$@" >"$name.log" 2>&1 ||
        { cat "$name.log"; complain "$name: training failed"; }
    weights=$(tail -c +$(($(header_end out/ckpt.safetensors) + 1)) out/ckpt.safetensors | cksum)
}
recalled() { grep -q "from the cache" "$1.log"; }
entries() { find "$XDG_CACHE_HOME/sinter/code" -name '*.objects' | wc -l; }

train without --cache=False
expected=$weights
[ ! -e "$XDG_CACHE_HOME" ] || complain "a cache was made though none was wanted"
train cold
[ "$weights" = "$expected" ] || complain "cold: other weights"
recalled cold && complain "cold: there was nothing to take"
[ "$(entries)" = 1 ] || complain "cold: nothing was kept"
train warm
[ "$weights" = "$expected" ] || complain "warm: other weights"
recalled warm || complain "warm: compiled again"
train other --n_embd=64
recalled other && complain "another model took this one's code"
[ "$(entries)" = 2 ] || complain "another model's code was not kept"

# one changed byte in every entry: said, removed, compiled again, kept again
for entry in "$XDG_CACHE_HOME"/sinter/code/*.objects; do
    printf 'X' | dd of="$entry" bs=1 seek=5000 conv=notrunc 2>/dev/null
done
train damaged
[ "$weights" = "$expected" ] || complain "damaged: other weights"
recalled damaged && complain "damaged: taken"
grep -q "is damaged; removed, and made again" damaged.log || complain "damaged: not said"
train again
recalled again || complain "not kept again"
[ "$weights" = "$expected" ] || complain "again: other weights"

# a folder that others can write to is not used, which is said
chmod 755 "$XDG_CACHE_HOME/sinter/code"
train open
grep -q "is open to others; chmod 700 it" open.log || complain "open: not said"
recalled open && complain "open: taken"
[ "$weights" = "$expected" ] || complain "open: other weights"
exit "$failures"
