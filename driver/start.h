// What a training starts from: --init_from=scratch, resume, or a file.
#ifndef SINTER_DRIVER_START_H
#define SINTER_DRIVER_START_H

#include "driver/command.h"
#include "driver/training.h"
#include "runtime/checkpoints.h"

typedef struct {
    Checkpoints *checkpoints;     // of out_dir; NULL: neither read nor written
    bool writes;                  // there; an evaluation alone does not
    TensorFile *file;             // what parameters come from; NULL: from scratch
    bool resumes;                 // with moments, iteration and all keys
    bool same_shapes;             // resumes: nothing that the plans depend on was assigned otherwise
    int64_t iteration;            // the first
    double best_val_loss;
    int folder;                   // out_dir, open and locked; -1: not
} Start;

// The newest sound checkpoint of out_dir, open; those left out are told on stderr. EXIT_DONE or EXIT_BAD_FILE.
int newest_checkpoint(Command *command, Checkpoints *checkpoints, TensorFile **file);

// Claims out_dir (no two trainings write in one), removes what interrupted saves left there, opens what --init_from
// says; for resume the checkpoint's spec and keys become the command's. EXIT_DONE, or an exit code after diagnostics.
int start_open(Command *command, Start *start);
// Warns when out_dir has not the room for two checkpoints of so many bytes.
void start_check_room(const Command *command, const Start *start, double checkpoint, FILE *out);
// Resuming: the checkpoint's choices into `request`, unless it has some already or the same plans come without.
int start_choices(Command *command, const Start *start, const Target *target, CompileRequest *request);
// Initial values, parameters, and for resume moments.
int start_load(Command *command, const Start *start, Training *training);
// Iteration, best loss and checkpoints into the loop's options.
void start_options(const Start *start, TrainOptions *options);
void start_close(Start *start);

#endif
