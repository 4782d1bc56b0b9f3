// One character of UTF-8 text.
#ifndef SINTER_RUNTIME_UTF8_H
#define SINTER_RUNTIME_UTF8_H

#include <stddef.h>
#include <stdint.h>

enum { UTF8_LAST = 0x10FFFF };

// Bytes (1 to 4) of the character at `text`, or 0 when it is not valid.
int utf8_read(const char *text, size_t length, uint32_t *character);
// Writes a character <= UTF8_LAST and returns its number of bytes.
int utf8_write(uint32_t character, char bytes[4]);

#endif
