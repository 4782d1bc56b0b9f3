#!/bin/sh
# A build without codegen/cuda and runtime/cuda: whoever asks for a GPU is told in one line, and nothing else changes.
. "$2/tests/e2e/common.sh"
sentence="this build has no GPU half (it was configured with SINTER_CUDA=OFF)"
keys="--dataset=text --n_layer=1 --n_head=2 --n_embd=16 --block_size=8 --batch_size=2 --gradient_accumulation_steps=1
      --eval_interval=0 --max_iters=2"
prepare_text

one_line() {   # that refuses, and nothing besides
    [ "$(grep -c "GPU half" log)" = 1 ] || complain "not one line: $(cat log)"
}

run 2 "device 'cuda': $sentence" train $keys --device=cuda
one_line
run 2 "$sentence" lower $keys --emit=cuda --target=sm_90a
one_line
run 0 "gpu  *none: $sentence" info
run 0 "" train $keys --device=auto
exit "$failures"
