#!/bin/sh
# What ctest ends with names each test that was skipped, and why.   skipped.sh SOURCE CMAKE BUILD
source=$1 cmake=$2 build=$3
list=$(mktemp) || exit 1
trap 'rm -f "$list"' EXIT
failures=0

expect() {   # expect LINE: of what is printed of the list
    "$cmake" "-DLIST=$list" -P "$source/tests/skipped.cmake" 2>&1 | grep -qFx "$1" && return
    echo "missing: $1"
    failures=$((failures + 1))
}

printf '%s\n' "/some/where/tests/cuda/test_gates.c: all gates: libnvrtc.so.13 was not found" \
    "e2e/disk.sh: no file system can be mounted" >"$list"
expect "2 skipped"
expect "  cuda/test_gates.c: all gates: libnvrtc.so.13 was not found"
expect "  e2e/disk.sh: no file system can be mounted"
"$cmake" "-DBEGIN=$list" -P "$source/tests/skipped.cmake"
expect "0 skipped"
rm "$list"
"$cmake" "-DLIST=$list" -P "$source/tests/skipped.cmake" >/dev/null 2>&1 && {
    echo "a list that is missing is taken for an empty one"
    failures=$((failures + 1))
}
# ... and ctest does it: a suite of one test that is skipped, with this build's list and commands.
[ -f "$build/CTestCustom.cmake" ] || { echo "ctest does not print the list"; failures=$((failures + 1)); }
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$list" "$folder"' EXIT
sed "s|$build/skipped.txt|$folder/skipped.txt|g" "$build/CTestCustom.cmake" >"$folder/CTestCustom.cmake"
printf 'add_test(one "sh" "-c" "echo tests/one: why >>%s/skipped.txt")\n' "$folder" >"$folder/CTestTestfile.cmake"
(cd "$folder" && ctest) 2>&1 | grep -qFx "1 skipped" || { echo "ctest does not end with the list"; failures=$((failures + 1)); }
exit "$failures"
