#!/bin/sh
# The losses of 50 steps of the character model on this machine's processor, for bench/gpu/parity.sh on one that cannot
# compile for its own:
#
#     SINTER=build/sinter bench/gpu/record.sh >losses && mv losses bench/gpu/losses.txt
cd "$(dirname "$0")/../.." || exit 1
SINTER=${SINTER:-build/sinter} DRY=0 FAKE='' WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
. bench/gpu/common.sh
make_data || exit 1
# shellcheck disable=SC2086
"$SINTER" train $char --device=cpu --fuse=all --max_iters=49 --out_dir="$WORK/out" >&2 || exit 1
echo "# iteration, loss of the character model on a processor, level all: bench/gpu/record.sh"
losses "$WORK/out"
