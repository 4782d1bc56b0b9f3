#include "driver/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "driver/checkpoint.h"
#include "runtime/weights.h"

static const char *out_dir(const Command *command) {
    return config_string(command->config, "out_dir");
}

static bool is_resume(const Command *command) {
    return text_equal(config_string(command->config, "init_from"), "resume");
}

static bool is_scratch(const Command *command) {
    return text_equal(config_string(command->config, "init_from"), "scratch");
}

// ---- the folder

// The lock goes with the process, however it ends. Where the file system has none, nothing is claimed.
static int claim_folder(Command *command, Start *start) {
    start->folder = open(out_dir(command), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (start->folder < 0 || flock(start->folder, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return EXIT_DONE;
    diag_error(command->diags, config_find(command->config, "out_dir")->place,
               "%s: another sinter train writes there; give this one an --out_dir of its own", out_dir(command));
    return EXIT_USAGE;
}

static int open_folder(Command *command, Start *start) {
    bool writes = start->writes = !config_bool(command->config, "eval_only");
    if (!writes && !is_resume(command)) return EXIT_DONE;
    if (writes && !is_resume(command) && !file_make_directories(out_dir(command), command->diags)) return EXIT_IO;
    int status = writes ? claim_folder(command, start) : EXIT_DONE;
    if (status == EXIT_DONE) status = checkpoints_open(out_dir(command), &start->checkpoints, command->diags);
    if (status != EXIT_DONE || !writes) return status;
    int removed = checkpoints_clean(start->checkpoints);
    if (removed)
        fprintf(command->echo, "%s: removed %d file%s that an interrupted save left\n", out_dir(command), removed,
                removed == 1 ? "" : "s");
    if (!is_resume(command) && checkpoints_count(start->checkpoints) > 0)
        fprintf(command->echo, "%s holds checkpoints of an earlier run; this one replaces them as it saves "
                               "(--init_from=resume goes on with them)\n", out_dir(command));
    return EXIT_DONE;
}

int newest_checkpoint(Command *command, Checkpoints *checkpoints, TensorFile **file) {
    Text skipped = text_create(command->arena);
    int status = checkpoints_choose(checkpoints, command->arena, file, &skipped, command->diags);
    const char *text = text_string(&skipped);
    for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        fprintf(stderr, "warning: skipped %.*s\n", (int)(end - line), line);
    return status;
}

// ---- what it starts from

static int resume(Command *command, Start *start) {
    int status = newest_checkpoint(command, start->checkpoints, &start->file);
    if (status != EXIT_DONE) return status;
    const char *best = tensor_file_metadata(start->file, "best_val_loss");
    start->resumes = true;
    start->iteration = strtoll(tensor_file_metadata(start->file, "iter"), NULL, 10);
    start->best_val_loss = best ? strtod(best, NULL) : 1e9;
    fprintf(command->echo, "Resuming training from %s at iteration %lld\n", tensor_file_path(start->file),
            (long long)start->iteration);
    return checkpoint_read_training(command, start->file, &start->same_shapes);
}

static int open_weights(Command *command, Start *start) {
    const char *from = config_string(command->config, "init_from");
    if (strlen(from) < 12 || !text_equal(from + strlen(from) - 12, ".safetensors")) {
        diag_error(command->diags, config_find(command->config, "init_from")->place,
                   "init_from '%s': 'scratch', 'resume' or a .safetensors file", from);
        return EXIT_USAGE;
    }
    return tensor_file_open(command->arena, from, &start->file, command->diags);
}

// A folder that nothing can be written into is found now, and not by the first checkpoint, hours later.
static int try_to_write(Command *command, const Start *start) {
    FileWriter *trial = file_writer_open(command->arena, checkpoints_newest(start->checkpoints), command->diags);
    if (!trial) return EXIT_IO;
    file_writer_abandon(trial);
    return EXIT_DONE;
}

int start_open(Command *command, Start *start) {
    *start = (Start){.folder = -1, .best_val_loss = 1e9};
    if (!is_resume(command) && !is_scratch(command)) {
        int status = open_weights(command, start);
        if (status != EXIT_DONE) return status;
    }
    int status = open_folder(command, start);
    if (status == EXIT_DONE && is_resume(command)) status = resume(command, start);
    return status == EXIT_DONE && start->writes ? try_to_write(command, start) : status;
}

// A save needs room for a new checkpoint beside the old ones, and what else is written there takes some, too.
void start_check_room(const Command *command, const Start *start, double checkpoint, FILE *out) {
    const char *folder = out_dir(command);
    int64_t room;
    if (!start->writes || file_table.room(folder, &room) != 0 || (double)room >= 2 * checkpoint) return;
    fprintf(out, "warning: %s: %.1f MB are free, and a checkpoint takes %.1f MB; there should be room for two\n",
            folder, 1e-6 * (double)room, 1e-6 * checkpoint);
}

// ---- choices

// Whether the plans are those the checkpoint was made with. False also when there is no plan: compiling tells why.
static bool compiles_to(Command *command, Arena *arena, const char *wanted, CompileRequest *request) {
    const Plan *plans[MODEL_PROGRAMS] = {0};
    StateTable states = {.arena = arena};
    Diags *unseen = diags_create(arena);
    bool accumulates = config_int(command->config, "gradient_accumulation_steps") > 1;
    choices_reset(request->choices);
    for (int program = MODEL_STEP; program <= MODEL_MICRO; program++) {
        if (program == MODEL_MICRO && !accumulates) continue;
        plans[program] = compile_plan(arena, command->spec, command->config, (ModelProgram)program, request,
                                      ledger_create(arena), &states, unseen);
        if (!plans[program]) return false;
    }
    return text_equal(wanted, checkpoint_plan_hash(arena, plans));
}

// The plans are only looked at: what they take is given back before the step is compiled for good.
static bool plans_are_equal(Command *command, const Start *start, CompileRequest *request) {
    const char *wanted = tensor_file_metadata(start->file, "sinter.plan");
    if (!wanted) return false;
    Arena *arena = arena_create();
    bool equal = compiles_to(command, arena, wanted, request);
    arena_free(arena);
    return equal;
}

// The same machine makes the same plans by itself; another one, or a tuned run's checkpoint, needs its choices.
int start_choices(Command *command, const Start *start, const Target *target, CompileRequest *request) {
    bool has_own = request->choices || *config_string(command->config, "choices");
    if (!start->resumes || has_own || !start->same_shapes) return EXIT_DONE;
    request->target = target;
    if (plans_are_equal(command, start, request)) return EXIT_DONE;
    const char *text = tensor_file_metadata(start->file, "sinter.choices");
    const char *name = arena_format(command->arena, "%s (sinter.choices)", tensor_file_path(start->file));
    request->choices = choices_create(command->arena);
    if (!text || !choices_add(request->choices, name, text, command->diags)) return EXIT_BAD_FILE;
    choices_be_lenient(request->choices);
    bool equal = plans_are_equal(command, start, request);
    fprintf(command->echo, "resume: with the checkpoint's choices%s\n",
            equal ? "" : ", and yet by other plans than before: losses may differ in their last digits");
    return EXIT_DONE;
}

// ---- values

int start_load(Command *command, const Start *start, Training *training) {
    const Program *step = training->model.programs[MODEL_STEP];
    int status =
        weights_initialise(training->session, step, (uint64_t)config_int(command->config, "seed"), command->diags);
    if (status != EXIT_DONE) return status;
    if (!start->file) {
        fputs("Initializing a new model from scratch\n", command->echo);
        return EXIT_DONE;
    }
    if (start->resumes) return weights_load(training->session, step, start->file, command->diags);
    fprintf(command->echo, "Initializing from %s\n", tensor_file_path(start->file));
    return weights_load_parameters(training->session, step, start->file, command->diags);
}

void start_options(const Start *start, TrainOptions *options) {
    options->first_iteration = start->iteration;
    options->best_val_loss = start->best_val_loss;
    if (start->writes) options->checkpoints = start->checkpoints;
    options->saved_iteration = start->resumes ? start->iteration : -1;
}

void start_close(Start *start) {
    tensor_file_close(start->file);
    checkpoints_free(start->checkpoints);
    if (start->folder >= 0) close(start->folder);
}
