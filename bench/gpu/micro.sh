#!/bin/sh
# What the GPU itself takes: nodes.cu, barriers.cu, products.cu.
. bench/gpu/common.sh

[ -x "$WORK/nodes" ] || skip "the microbenchmarks are not built: no nvcc"
[ "$DRY" = 1 ] && skip "the microbenchmarks are built; running them needs a GPU"
for name in nodes barriers products; do
    timeout 60 "$WORK/$name" || fail $name
    echo
done
exit $failed
