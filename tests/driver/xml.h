// Whether a text is well-formed XML, as far as our pictures use it: elements, attributes in double quotes, entities.
#ifndef SINTER_TESTS_DRIVER_XML_H
#define SINTER_TESTS_DRIVER_XML_H

// NULL when it is one element, else what is wrong and where.
const char *xml_fault(const char *text);
// How often `part` stands in `text`.
unsigned text_count(const char *text, const char *part);

#endif
