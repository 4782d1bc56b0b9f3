#!/bin/sh
# Choices as a user meets them: the examples of docs/choices.md, exit codes, and weights trained with what was written.
. "$2/tests/e2e/common.sh"
prepare_text
small="--n_layer=2 --n_head=2 --n_embd=32 --block_size=32 --batch_size=4 --gradient_accumulation_steps=1 --eval_iters=2"
middle="--n_layer=6 --n_head=4 --n_embd=64 --block_size=32 --batch_size=12 --gradient_accumulation_steps=1 --vocab_size=65"

# The examples
sed -n '/^```choices$/,/^```$/p' "$source/docs/choices.md" | grep -v '^```' >docs.choices
[ "$(wc -l <docs.choices)" -ge 14 ] || complain "docs/choices.md has no examples"
run 0 "by choice docs.choices:1$" lower --choices=docs.choices --emit=ledger $middle
run 0 passed check --choices=docs.choices $middle --full

# Complaints
echo 'forbit strand' >bad && run 2 "bad:1:1: error: there is no choice 'forbit'" lower --choices=bad $small
echo 'forbid strand at' >bad && run 2 "bad:1:15: error: expected a place" lower --choices=bad $small
echo 'precision logits bf16' >bad && run 2 "bad:1:1: error: .* products round to bf16 on GPUs only" lower --choices=bad $small
echo 'precision logits i32' >bad && run 2 "bad:1:18: error: 'i32': values are stored in f32, bf16 or f16" lower --choices=bad $small
printf '\ntile layer[*].u 6x48\n' >bad && run 2 "bad:2:1: error: .* tiles are 16 or 32 lanes wide" train --choices=bad $small \
    --dataset=text --out_dir=out
echo 'keep layer[*].pp' >bad && run 2 "matches nothing in this model" explain --choices=bad $small
run 0 "warning: 'keep layer\[\*\].pp' matches nothing" check --choices=bad $small
run 3 "absent.choices" train --choices=absent.choices $small --dataset=text
run 5 "no/such/folder" explain --choices_out=no/such/folder/file $small

# The same weights, loss and moments
for model in gpt2 llama; do
    keys="--model=$model --dataset=text --max_iters=6 --eval_interval=3 --dropout=0.1 $small"
    [ $model = llama ] && keys="$keys --n_kv_head=1"
    "$sinter" explain $keys --choices_out=$model.choices >log 2>&1 || { tail -3 log; complain "explain $model"; }
    "$sinter" train $keys --out_dir=plain --metrics=plain.jsonl >log 2>&1 || { tail -3 log; complain "train $model"; }
    "$sinter" train $keys --out_dir=again --metrics=again.jsonl --choices=$model.choices >log 2>&1 || {
        tail -3 log
        complain "train $model with choices"
    }
    for name in $(cd plain && ls); do
        case $name in
        *.safetensors) same_tensors plain/"$name" again/"$name" || complain "$model: $name differs" ;;
        esac
    done
done
exit "$failures"
