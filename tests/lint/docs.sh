#!/bin/sh
# Every excerpt of a file in the docs (a block that begins with ```c FILE) stands in that file, line by line.
cd "$1" || exit 2
for document in docs/*.md README.md; do
    awk -v document="$document" '
        /^```[a-z]+ [^ ]+$/ { file = $2; count = 0; next }
        /^```/ && file {
            whole = ""
            while ((getline line < file) > 0) whole = whole line "\n"
            close(file)
            text = ""
            for (i = 0; i < count; i++) text = text lines[i] (i + 1 < count ? "\n" : "")
            if (count == 0 || index(whole, text) == 0) { print document ": this is not in " file ":\n" text; failed = 1 }
            file = ""
            next
        }
        file { lines[count++] = $0 }
        END { exit failed }
    ' "$document" || failed=1
done
[ -z "$failed" ] && echo "docs: ok"
exit "${failed:-0}"
