# Turns one text file into a C file with a function that gives it:
#
#     cmake -DOUTPUT=common.c -DFILE=codegen/cuda/common.cu -DFUNCTION=cuda_common -P embed_text.cmake
#
#     const char *cuda_common(void)
#
# A byte array, because C compilers need not accept string literals of more than 4095 characters.
file(READ ${FILE} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REPLACE "0x0a," "0x0a,\n" bytes "${bytes}")   # a line of C for each line of text
get_filename_component(name ${FILE} NAME)
file(WRITE ${OUTPUT} "// Made by scripts/embed_text.cmake from ${name}.
static const unsigned char text[] = {\n${bytes}0x00};

const char *${FUNCTION}(void);
const char *${FUNCTION}(void) { return (const char *)text; }
")
