// Whether a text is well-formed XML: see xml.h.
#include "tests/driver/xml.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { DEEPEST = 64 };

typedef struct {
    const char *at;
    const char *open[DEEPEST]; // names of open elements
    size_t length[DEEPEST];
    int depth;
} Xml;

static size_t name_length(const char *text) {
    size_t length = 0;
    while (isalnum((unsigned char)text[length]) || (length > 0 && strchr("-_:", text[length]) && text[length]))
        length++;
    return length;
}

static bool entity(Xml *xml) {
    static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
    for (int i = 0; i < 4; i++) {
        if (strncmp(xml->at, known[i], strlen(known[i])) != 0) continue;
        xml->at += strlen(known[i]);
        return true;
    }
    return false;
}

static const char *attributes(Xml *xml) {
    while (*xml->at == ' ' || *xml->at == '\n') {
        xml->at++;
        size_t length = name_length(xml->at);
        if (length == 0) break;
        xml->at += length;
        if (strncmp(xml->at, "=\"", 2) != 0) return "an attribute without a value in quotes";
        for (xml->at += 2; *xml->at != '"';) {
            if (*xml->at == '<' || *xml->at == '\0') return "an attribute that does not end";
            if (*xml->at != '&')
                xml->at++;
            else if (!entity(xml))
                return "an unknown entity";
        }
        xml->at++;
    }
    return NULL;
}

static const char *closing(Xml *xml) {
    size_t length = name_length(xml->at += 2);
    if (xml->depth == 0) return "an end without a beginning";
    xml->depth--;
    if (length != xml->length[xml->depth] || strncmp(xml->at, xml->open[xml->depth], length) != 0) return "another end";
    xml->at += length;
    return *xml->at++ == '>' ? NULL : "an end tag that does not end";
}

static const char *opening(Xml *xml) {
    const char *name = ++xml->at;
    size_t length = name_length(name);
    if (length == 0) return "a tag without a name";
    xml->at += length;
    const char *fault = attributes(xml);
    if (fault) return fault;
    if (strncmp(xml->at, "/>", 2) == 0) {
        xml->at += 2;
        return NULL;
    }
    if (*xml->at++ != '>') return "a tag that does not end";
    if (xml->depth == DEEPEST) return "too deep";
    xml->open[xml->depth] = name;
    xml->length[xml->depth++] = length;
    return NULL;
}

const char *xml_fault(const char *text) {
    Xml xml = {.at = text};
    static char message[120];
    if (*text != '<') return "it does not begin with an element";
    const char *fault = NULL;
    while (*xml.at && !fault) {
        if (strncmp(xml.at, "</", 2) == 0)
            fault = closing(&xml);
        else if (*xml.at == '<')
            fault = opening(&xml);
        else if (*xml.at == '&')
            fault = entity(&xml) ? NULL : "an unknown entity";
        else
            xml.at++;
        if (!fault && xml.depth == 0 && *xml.at && *xml.at != '\n') fault = "more than one element";
    }
    if (!fault && xml.depth > 0) fault = "an element that does not end";
    if (fault) snprintf(message, sizeof message, "%s, before '%.60s'", fault, xml.at);
    return fault ? message : NULL;
}

unsigned text_count(const char *text, const char *part) {
    unsigned count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        count++;
    return count;
}
