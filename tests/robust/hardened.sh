#!/bin/sh
# The program is hardened as scripts/hardening.cmake says.
# hardened.sh PROGRAM
program=$1
command -v readelf >/dev/null || {
    [ -z "$SINTER_SKIPPED" ] || echo "robust/hardened.sh: there is no readelf" >>"$SINTER_SKIPPED"
    exit 77
}
failed=0

need() {   # need WHAT PATTERN: a line of what readelf says
    echo "$elf" | grep -Eq "$2" || { echo "hardened.sh: $program has no $1"; failed=1; }
}

elf=$(readelf -W -h -l -d "$program")
need "position-independent code" 'Type: +DYN'
need "read-only relocations" 'GNU_RELRO'
need "relocations all at start (now)" 'BIND_NOW|FLAGS_1.*NOW'
need "stack segment" 'GNU_STACK'
echo "$elf" | grep -Eq 'GNU_STACK.* RWE' && { echo "hardened.sh: $program has an executable stack"; failed=1; }
echo "$elf" | grep -Eq 'LOAD.* RWE' && { echo "hardened.sh: $program has a segment to write and execute"; failed=1; }
elf=$(readelf -W --dyn-syms "$program")
need "stack protector" '__stack_chk_fail'
need "checked functions of the C library (_FORTIFY_SOURCE)" '__(printf|fprintf|snprintf|memcpy|vsnprintf)_chk'
[ $failed = 0 ] && echo "hardened: ok"
exit $failed
