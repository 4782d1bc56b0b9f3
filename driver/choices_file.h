// --choices_out=FILE.
#ifndef SINTER_DRIVER_CHOICES_FILE_H
#define SINTER_DRIVER_CHOICES_FILE_H

#include "driver/command.h"
#include "driver/compile.h"

// Writes the choices that make all of training's programs again, whatever the Target. EXIT_DONE, or an exit code.
int write_choices(Command *command, CompileRequest *request, const char *path);

#endif
