// What all pictures share: see svg.h.
#include "driver/svg.h"

#include <string.h>

#include "base/file.h"

// Bytes of the UTF-8 character at `text`, 0 when it is none.
static size_t character_length(const unsigned char *text) {
    size_t length = *text < 0x80                    ? 1
                    : *text >= 0xc2 && *text < 0xe0 ? 2
                    : *text >= 0xe0 && *text < 0xf0 ? 3
                    : *text >= 0xf0 && *text < 0xf5 ? 4
                                                    : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    return length;
}

void svg_append_escaped(Text *out, const char *text) {
    while (*text) {
        size_t length = character_length((const unsigned char *)text);
        switch (*text) {
        case '&': text_append(out, "&amp;"); break;
        case '<': text_append(out, "&lt;"); break;
        case '>': text_append(out, "&gt;"); break;
        case '"': text_append(out, "&quot;"); break;
        default:
            if (length == 0 || (unsigned char)*text < 0x20)
                text_append(out, "?");
            else
                text_append_bytes(out, text, length);
        }
        text += length ? length : 1;
    }
}

void svg_append_text(Text *out, double x, double y, const char *class, const char *anchor, const char *text) {
    text_append(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, class, anchor);
    svg_append_escaped(out, text);
    text_append(out, "</text>\n");
}

static const char light[] = "--page:#ffffff;--ink:#1f2328;--faint:#656d76;--line:#d0d7de;"
                            "--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;"
                            "--c4:#b8860b;--c5:#2a9ad6;--c6:#7a4fbf;--c7:#555555;";
static const char dark[] = "--page:#0d1117;--ink:#e6edf3;--faint:#8d96a0;--line:#30363d;"
                           "--c0:#56b4e9;--c1:#f2894a;--c2:#2fc99b;--c3:#e59ac4;"
                           "--c4:#f0c94c;--c5:#9ad4f5;--c6:#b79cf0;--c7:#a0a0a0;";

void svg_append_colours(Text *out, const char *scope) {
    text_append(out, ".%s{%s}\n@media (prefers-color-scheme:dark){.%s{%s}}\n", scope, light, scope, dark);
}

bool svg_write(const char *path, const Text *picture, Diags *diags) {
    FileWriter *writer = file_writer_open(picture->arena, path, diags);
    if (!writer) return false;
    if (file_writer_write(writer, text_string(picture), picture->length, diags))
        return file_writer_commit(writer, diags);
    file_writer_abandon(writer);
    return false;
}
