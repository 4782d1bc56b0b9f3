// The checkpoints of one folder: the newest, some before it, the best one; and which of them a run goes on from.
//
//     ckpt.safetensors         the newest
//     ckpt-2000.safetensors    one before it; 2000 is the iteration that comes next. The last keep_last - 1 of them
//     ckpt-best.safetensors    the one with the least validation loss, often a second name of one of the others
//
// A save first gives the newest its numbered name (a second name, so that there is never none of that name), writes the
// new one beside, syncs it, renames it over ckpt.safetensors and syncs the folder. When it returns RUNTIME_OK, the
// checkpoint outlives a kill and a loss of power; when it does not, all that was there before is still there. Names
// that end in .tmp.PID are of interrupted saves.
//
// Saves are numbered through the life of the folder (metadata `sinter.save`): the newest is the one of the highest
// number, whatever clocks and iterations say.
#ifndef SINTER_RUNTIME_CHECKPOINTS_H
#define SINTER_RUNTIME_CHECKPOINTS_H

#include "base/text.h"
#include "runtime/session.h"
#include "runtime/tensor_file.h"

typedef struct Checkpoints Checkpoints;

// Looks at what is there and changes nothing. A folder that does not exist has none. RUNTIME_IO: it cannot be listed.
RuntimeStatus checkpoints_open(const char *folder, Checkpoints **checkpoints, Diags *diags);
void checkpoints_free(Checkpoints *checkpoints);  // NULL is allowed
size_t checkpoints_count(const Checkpoints *checkpoints);
const char *checkpoints_newest(const Checkpoints *checkpoints);  // path of ckpt.safetensors, whether or not it is there

// Removes what interrupted saves left. For the one process that writes in the folder. Returns how many files it was.
int checkpoints_clean(Checkpoints *checkpoints);

// The newest one all of whose hashes hold, open, in `arena`. For every newer one a line "PATH: what is wrong" is
// appended to `skipped`; later saves neither count it nor remove it, but a new ckpt.safetensors takes the place of a
// damaged one. RUNTIME_BAD_FILE: there is none.
RuntimeStatus checkpoints_choose(Checkpoints *checkpoints, Arena *arena, TensorFile **file, Text *skipped,
                                 Diags *diags);

typedef struct {
    const Session *session;
    const Program *program;
    const TensorMetadata *metadata;  // besides "iter" and "sinter.save"
    size_t metadata_count;
    int64_t iteration;               // that comes next
    bool is_best;                    // it also becomes ckpt-best.safetensors
    int keep_last;                   // how many there are after it, the best one not counted; >= 1
} CheckpointContents;

// RUNTIME_IO, or RUNTIME_NONFINITE for states that are not finite (those are never written).
RuntimeStatus checkpoints_save(Checkpoints *checkpoints, const CheckpointContents *contents, Diags *diags);

#endif
