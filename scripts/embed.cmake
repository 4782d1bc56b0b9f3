# Turns text files into one C file:
#
#     cmake -DOUTPUT=embedded.c "-DFILES=models/gpt2.spec;models/prelude.spec" -P embed.cmake
#
#     models/gpt2.spec    ->  spec_embedded("gpt2")
#     models/prelude.spec ->  spec_prelude()
#
# Byte arrays, because C compilers need not accept string literals of more than 4095 characters.
set(arrays "")
set(rows "")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME_WE)
  string(MAKE_C_IDENTIFIER "text_${name}" array)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(REPLACE "0x0a," "0x0a,\n" bytes "${bytes}")   # a line of C for each line of text
  string(APPEND arrays "static const unsigned char ${array}[] = {\n${bytes}0x00};\n")
  if(NOT name STREQUAL "prelude")
    string(APPEND rows "    if (text_equal(model, \"${name}\")) return (const char *)${array};\n")
  endif()
endforeach()
file(WRITE ${OUTPUT} "// Made by scripts/embed.cmake from models/*.spec.
#include \"frontend/frontend.h\"

${arrays}
const char *spec_prelude(void) { return (const char *)text_prelude; }

const char *spec_embedded(const char *model) {
${rows}    return NULL;
}
")
