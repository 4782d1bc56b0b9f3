// A whole program with include/sinter.h only: a small GPT-2 learns to count modulo 10.
#include <stdio.h>

#include "sinter.h"

enum { BATCH = 8, BLOCK = 16, VOCABULARY = 10, STEPS = 100 };

int main(void) {
    const char *settings[] = {"n_layer=2",     "n_head=2",      "n_embd=32",     "batch_size=8",
                              "block_size=16", "vocab_size=10", "dropout=0.0"};
    SinterModel *model = sinter_open(NULL, "gpt2", settings, sizeof settings / sizeof *settings, 0);
    if (!model) {
        fputs(sinter_error(), stderr);
        return 1;
    }
    int32_t tokens[BATCH][BLOCK], targets[BATCH][BLOCK];
    float loss = 0;
    for (int step = 0; step < STEPS; step++) {
        for (int row = 0; row < BATCH; row++) {
            for (int i = 0; i < BLOCK; i++) {
                tokens[row][i] = (step + row + i) % VOCABULARY;
                targets[row][i] = (step + row + i + 1) % VOCABULARY;
            }
        }
        loss = sinter_step(model, &tokens[0][0], &targets[0][0], 3e-3);
        if (step % 20 == 0) printf("step %3d: loss %.4f\n", step, (double)loss);
    }
    printf("after %d steps: loss %.4f\n", STEPS, (double)sinter_evaluate(model, &tokens[0][0], &targets[0][0]));
    sinter_close(model);
    return loss < 0.1f ? 0 : 1;
}
