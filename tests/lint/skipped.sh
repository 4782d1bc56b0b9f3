#!/bin/sh
# What ctest ends with names each test that was skipped, and why.   skipped.sh SOURCE CMAKE
list=$(mktemp) || exit 1
trap 'rm -f "$list"' EXIT
failures=0

expect() {
    "$cmake" -DLIST="$2" -P "$source/tests/skipped.cmake" 2>&1 | grep -qFx "$1" && return
    echo "missing: $1"
    failures=$((failures + 1))
}

source=$1 cmake=$2
printf '%s\n' "/some/where/tests/cuda/test_gates.c: all gates: libnvrtc.so.13 was not found" \
    "e2e/disk.sh: no file system can be mounted" >"$list"
expect "2 skipped" "$list"
expect "  cuda/test_gates.c: all gates: libnvrtc.so.13 was not found" "$list"
expect "  e2e/disk.sh: no file system can be mounted" "$list"
expect "0 skipped" /nowhere
exit "$failures"
