// UTF-8 by RFC 3629: shortest form only, no surrogates, nothing above U+10FFFF.
#include "runtime/utf8.h"

int utf8_read(const char *text, size_t length, uint32_t *character) {
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    if (length == 0) return 0;
    int count = bytes[0] < 0x80 ? 1 : bytes[0] >> 5 == 6 ? 2 : bytes[0] >> 4 == 14 ? 3 : bytes[0] >> 3 == 30 ? 4 : 0;
    if (count == 0 || (size_t)count > length) return 0;
    uint32_t value = count == 1 ? bytes[0] : bytes[0] & (0x7fu >> count);
    for (int i = 1; i < count; i++) {
        if (bytes[i] >> 6 != 2) return 0;
        value = value << 6 | (bytes[i] & 0x3f);
    }
    if (value < smallest[count] || value > UTF8_LAST || (value >= 0xD800 && value <= 0xDFFF)) return 0;
    *character = value;
    return count;
}

int utf8_write(uint32_t character, char bytes[4]) {
    if (character < 0x80) {
        bytes[0] = (char)character;
        return 1;
    }
    int count = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (int i = count - 1; i > 0; i--, character >>= 6)
        bytes[i] = (char)(0x80 | (character & 0x3f));
    bytes[0] = (char)(0xF0u << (4 - count) | character);
    return count;
}
