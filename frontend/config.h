// What the files of configuration share. The door is frontend/frontend.h.
#ifndef SINTER_FRONTEND_CONFIG_H
#define SINTER_FRONTEND_CONFIG_H

#include "frontend/ast.h"

Arena *config_arena(const Config *config);
const char *config_type_name(ConfigType type);       // "an integer"
bool config_types_agree(ConfigType a, ConfigType b); // equal, or both numbers
// A number, or a product or quotient of numbers as in `5 * 8`; false when it is anything else.
bool config_number(const char *literal, double *number, bool *integral);
const char *config_unquote(Arena *arena, const char *literal); // NULL when quotes do not match

#endif
