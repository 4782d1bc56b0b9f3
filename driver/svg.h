// What all pictures share: text in SVG, and colours that follow the page's light or dark scheme.
#ifndef SINTER_DRIVER_SVG_H
#define SINTER_DRIVER_SVG_H

#include <stdbool.h>

#include "base/diag.h"
#include "base/text.h"

// Appends `text` with & < > " as entities; what XML forbids (control characters, bytes that are no UTF-8) becomes '?'.
void svg_append_escaped(Text *out, const char *text);

// An element <text>. `class` may have several names; `anchor` is start, middle or end.
void svg_append_text(Text *out, double x, double y, const char *class, const char *anchor, const char *text);

// Colours as custom properties of `.scope`, light and dark: --page, --ink, --faint, --line, and --c0 .. --c7, the
// colours of Okabe and Ito (Color Universal Design, 2008), which people who see red and green alike can tell apart.
void svg_append_colours(Text *out, const char *scope);
enum { SVG_COLOURS = 8 };

// Writes a picture to a file, whole or not at all. False with a diagnostic.
bool svg_write(const char *path, const Text *picture, Diags *diags);

#endif
