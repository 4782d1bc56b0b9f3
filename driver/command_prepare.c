// sinter prepare: texts -> train.bin, val.bin, meta.json.
#include <stdio.h>

#include "driver/command.h"
#include "runtime/prepare.h"

int command_prepare(Command *command) {
    const char *folder = config_string(command->config, "out");
    if (command->file_count == 0 || !*folder) {
        diag_error(command->diags, (Place){0}, "usage: sinter prepare TEXT... -o FOLDER");
        return EXIT_USAGE;
    }
    PrepareResult result;
    RuntimeStatus status = prepare_run(command->files, (int)command->file_count, folder, &result, command->diags);
    if (status != RUNTIME_OK) return status;
    printf("length of dataset in characters: %lld\nvocab size: %lld\ntrain has %lld tokens\nval has %lld tokens\n",
           (long long)result.characters, (long long)result.vocab_size, (long long)result.train_tokens,
           (long long)result.validation_tokens);
    return EXIT_DONE;
}
