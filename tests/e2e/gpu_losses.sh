# The losses that bench/gpu/parity.sh holds a GPU against are those of this processor, within what another order of sums
# explains; and the scripts of bench/gpu.sh are sound shell.
set -eu
SINTER=$1 DRY=0 FAKE='' WORK=$(mktemp -d)
cd "$2"
trap 'rm -rf "$WORK"' EXIT
for script in bench/gpu.sh bench/gpu/*.sh; do sh -n "$script"; done
. bench/gpu/common.sh
make_data
# shellcheck disable=SC2086
"$SINTER" train $char --device=cpu --fuse=op --max_iters=3 --out_dir="$WORK/out" >"$WORK/log" 2>&1
losses "$WORK/out" >"$WORK/mine"
grep -v '^#' bench/gpu/losses.txt | paste -d' ' "$WORK/mine" - | awk '
    NF == 4 { n++; d = $2 / $4 - 1; if (d < 0) d = -d; if ($1 != $3 || d > 2e-6) { print "differs: " $0; bad = 1 } }
    END { if (n != 4) print n " losses"; exit bad || n != 4 }'
