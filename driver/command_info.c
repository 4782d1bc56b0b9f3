// sinter info: what this machine can do, measured, and what this build has.
#include <stdio.h>

#include "codegen/codegen.h"
#include "driver/command.h"
#include "driver/gpu.h"
#include "runtime/probe.h"

int command_info(Command *command) {
    if (command->file_count) {
        diag_error(command->diags, (Place){0}, "sinter info takes no files");
        return EXIT_USAGE;
    }
    ThreadPool *threads = threads_create(threads_default_count(), true, command->diags);
    if (!threads) return EXIT_IO;
    ProbeResult probe;
    probe_run(threads, false, &probe);
    threads_free(threads);
    printf("cpu          %s, %d cores, %d logical\n", *probe.model ? probe.model : "unknown", probe.cores,
           probe.logical_cpus);
    printf("vectors      %d bytes, %d registers\n", probe.vector_bytes, probe.vector_registers);
    printf("caches       L1d %.0f KiB, L2 %.0f KiB a core; L3 %.0f KiB\n", probe.l1_bytes / 1024, probe.l2_bytes / 1024,
           probe.l3_bytes / 1024);
    printf("f32 peak     %.1f GFLOP/s, %d threads (measured)\n", 1e-9 * probe.fma_flops, probe.threads);
    printf("memory       %.1f GB/s read, %.1f GB/s triad (measured)\n", 1e-9 * probe.read_bandwidth,
           1e-9 * probe.triad_bandwidth);
    printf("barrier      %.0f ns (about 100: cores share a cache; about 500: they do not)\n",
           1e9 * probe.barrier_seconds);
    printf("llvm         %s\n", codegen_llvm_version());
    printf("blas         %s\n", blas_version(command->arena));
    Text gpus = text_create(command->arena);
    gpu_describe(command->arena, &gpus, command->diags);
    fputs(text_string(&gpus), stdout);
    printf("models       gpt2, llama\n");
    return EXIT_DONE;
}
