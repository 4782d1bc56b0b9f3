// Kernels -> machine code in memory.
//
// In: distinct kernels and the target. Out: their addresses, and the object that keeps the code.
//
//     kernels 0 2 4 ..  --thread 0-->  module --passes--> object file --\                         .
//     kernels 1 3 5 ..  --thread 1-->  module --passes--> object file ---+--> LLJIT --> addresses
//
// Each thread has an LLVM context of its own, so none of them ever waits for another. Failures are reported in LLVM's
// words. With a cache in the report, object files of an earlier run take the place of both threads (remember.c).
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codegen/cpu/module.h"
#include "base/clock.h"

struct CpuCode {
    MemoryOwned owned; // while it is made
    LLVMOrcLLJITRef jit;
};

// ---- the processor

typedef struct {
    char *triple, *cpu, *features; // owned by LLVM
    LLVMTargetRef target;
    int vector_bytes;
} Processor;

static bool processor_init(Processor *processor, const Target *target, Diags *diags) {
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    bool is_host = target->triple[0] == '\0' && target->cpu[0] == '\0';
    *processor = (Processor){
        .triple = target->triple[0] ? LLVMNormalizeTargetTriple(target->triple) : LLVMGetDefaultTargetTriple(),
        .cpu = target->cpu[0] ? LLVMCreateMessage(target->cpu) : LLVMGetHostCPUName(),
        .features = is_host ? LLVMGetHostCPUFeatures() : LLVMCreateMessage(""),
        .vector_bytes = target->vector_bytes,
    };
    char *error = NULL;
    if (!LLVMGetTargetFromTriple(processor->triple, &processor->target, &error)) return true;
    diag_error(diags, (Place){0}, "LLVM has no code generator for %s: %s", processor->triple, error);
    LLVMDisposeMessage(error);
    return false;
}

static void processor_release(Processor *processor) {
    LLVMDisposeMessage(processor->triple);
    LLVMDisposeMessage(processor->cpu);
    LLVMDisposeMessage(processor->features);
}

static LLVMTargetMachineRef create_machine(const Processor *processor) {
    return LLVMCreateTargetMachine(processor->target, processor->triple, processor->cpu, processor->features,
                                   LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelSmall);
}

// ---- one thread's share

typedef struct {
    const CpuKernel *kernels;
    uint32_t count, first, stride; // kernels first, first + stride, ...
    const Processor *processor;
    bool wants_llvm, wants_assembly;
    pthread_t thread;
    bool is_started;
    // results, in memory of LLVM
    LLVMMemoryBufferRef object;
    char *error, *llvm, *assembly;
    bool is_exhausted; // out of memory, when so many bytes were wanted
    size_t wanted;
    double lower_seconds, optimize_seconds, emit_seconds;
} Share;

static void note_error(Share *share, const char *message) {
    if (!share->error) share->error = LLVMCreateMessage(message);
}

static void take_diagnostic(LLVMDiagnosticInfoRef information, void *context) {
    if (LLVMGetDiagInfoSeverity(information) != LLVMDSError) return;
    char *text = LLVMGetDiagInfoDescription(information);
    note_error(context, text);
    LLVMDisposeMessage(text);
}

// Tile programs come out of the emitters with registers, loops and tiles already chosen; what is left to do is local:
// inline the functions of mathematics, remove repeated address arithmetic and splats, and move them out of loops.
static const char pass_list[] = "always-inline,"
                                "function(early-cse,instcombine<no-verify-fixpoint>,simplifycfg,"
                                "loop-mssa(licm),early-cse<memssa>,instcombine<no-verify-fixpoint>,dce),globaldce";

static bool optimize(Share *share, LLVMModuleRef module, LLVMTargetMachineRef machine) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef failure = LLVMRunPasses(module, pass_list, machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!failure) return true;
    char *message = LLVMGetErrorMessage(failure);
    note_error(share, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

static LLVMMemoryBufferRef emit_file(Share *share, LLVMModuleRef module, LLVMTargetMachineRef machine,
                                     LLVMCodeGenFileType type) {
    LLVMMemoryBufferRef buffer = NULL;
    char *error = NULL;
    if (!LLVMTargetMachineEmitToMemoryBuffer(machine, module, type, &error, &buffer)) return buffer;
    note_error(share, error);
    LLVMDisposeMessage(error);
    return NULL;
}

// Code generation changes the module, so the text is made from a copy.
static void write_assembly(Share *share, LLVMModuleRef module, LLVMTargetMachineRef machine) {
    LLVMModuleRef copy = LLVMCloneModule(module);
    LLVMMemoryBufferRef buffer = emit_file(share, copy, machine, LLVMAssemblyFile);
    if (buffer) {
        share->assembly = LLVMCreateMessage(LLVMGetBufferStart(buffer));
        LLVMDisposeMemoryBuffer(buffer);
    }
    LLVMDisposeModule(copy);
}

static void compile_module(Share *share, CpuModule *module, LLVMTargetMachineRef machine) {
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(module->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(module->module, share->processor->triple);

    double start = clock_seconds();
    Arena *arena = arena_create();
    for (uint32_t i = share->first; i < share->count; i += share->stride)
        emit_kernel(module, arena, &share->kernels[i]);
    arena_free(arena);
    char *broken = NULL;
    if (LLVMVerifyModule(module->module, LLVMReturnStatusAction, &broken))
        BUG("generated LLVM IR is broken: %s", broken);
    LLVMDisposeMessage(broken);

    double lowered = clock_seconds();
    share->lower_seconds = lowered - start;
    if (!optimize(share, module->module, machine)) return;
    double optimized = clock_seconds();
    share->optimize_seconds = optimized - lowered;
    if (share->wants_llvm) share->llvm = LLVMPrintModuleToString(module->module);
    if (share->wants_assembly) write_assembly(share, module->module, machine);
    start = clock_seconds();
    share->object = emit_file(share, module->module, machine, LLVMObjectFile);
    share->emit_seconds = clock_seconds() - start;
}

// A thread of its own has a guard of its own. LLVM's objects are given back by the caller.
static void compile_guarded(Share *share, CpuModule *module, LLVMTargetMachineRef machine) {
    MemoryGuard guard;
    memory_guard_push(&guard);
    if (setjmp(guard.jump)) {
        share->is_exhausted = true;
        share->wanted = guard.wanted;
        return;
    }
    compile_module(share, module, machine);
    memory_guard_pop();
}

static void *compile_share(void *context) {
    Share *share = context;
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMContextSetDiagnosticHandler(llvm, take_diagnostic, share);
    LLVMTargetMachineRef machine = create_machine(share->processor);
    CpuModule module;
    cpu_module_init(&module, llvm, "kernels", share->processor->cpu, share->processor->features,
                    share->processor->vector_bytes);
    compile_guarded(share, &module, machine);
    LLVMDisposeBuilder(module.builder);
    LLVMDisposeModule(module.module);
    LLVMDisposeTargetMachine(machine);
    LLVMContextDispose(llvm);
    return NULL;
}

// ---- all shares

enum { MAX_SHARES = 4, KERNELS_PER_SHARE = 4 };

// Few kernels are not worth a thread; texts are asked for in one piece.
static uint32_t share_count(uint32_t kernels, const CodegenReport *report) {
    if (report->llvm || report->assembly) return 1;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t shares = processors < 1 ? 1 : processors > MAX_SHARES ? MAX_SHARES : (uint32_t)processors;
    uint32_t useful = (kernels + KERNELS_PER_SHARE - 1) / KERNELS_PER_SHARE;
    return useful < shares ? useful : shares;
}

static void run_shares(Share *shares, uint32_t count) {
    for (uint32_t i = 1; i < count; i++)
        shares[i].is_started = pthread_create(&shares[i].thread, NULL, compile_share, &shares[i]) == 0;
    for (uint32_t i = 0; i < count; i++)
        if (!shares[i].is_started) compile_share(&shares[i]);
    for (uint32_t i = 1; i < count; i++)
        if (shares[i].is_started) pthread_join(shares[i].thread, NULL);
}

static double larger(double a, double b) {
    return a > b ? a : b;
}

static void collect_report(const Share *shares, uint32_t count, CodegenReport *report) {
    double lower = 0, optimized = 0, emitted = 0;
    for (uint32_t i = 0; i < count; i++) {
        lower = larger(lower, shares[i].lower_seconds);
        optimized = larger(optimized, shares[i].optimize_seconds);
        emitted = larger(emitted, shares[i].emit_seconds);
        if (report->llvm && shares[i].llvm) text_append(report->llvm, "%s", shares[i].llvm);
        if (report->assembly && shares[i].assembly) text_append(report->assembly, "%s", shares[i].assembly);
    }
    report->lower_seconds += lower;
    report->instruction_seconds += lower;
    report->optimize_seconds += optimized;
    report->emit_seconds += emitted;
}

// ---- linking

static bool report_failure(LLVMErrorRef failure, Diags *diags, const char *what) {
    if (!failure) return true;
    char *message = LLVMGetErrorMessage(failure);
    diag_error(diags, (Place){0}, "LLVM cannot %s: %s", what, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

// Kernels may call the C library (sin and cos of huge arguments, memset), which is part of this process.
static bool add_process_symbols(LLVMOrcLLJITRef jit, Diags *diags) {
    LLVMOrcDefinitionGeneratorRef generator = NULL;
    LLVMErrorRef failure =
        LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&generator, LLVMOrcLLJITGetGlobalPrefix(jit), NULL, NULL);
    if (!report_failure(failure, diags, "search this process for symbols")) return false;
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(jit), generator);
    return true;
}

static bool link_shares(CpuCode *code, Share *shares, uint32_t share_number, CpuKernel *kernels, uint32_t count,
                        Diags *diags) {
    if (!report_failure(LLVMOrcCreateLLJIT(&code->jit, NULL), diags, "start its just-in-time linker")) return false;
    if (!add_process_symbols(code->jit, diags)) return false;
    for (uint32_t i = 0; i < share_number; i++) {
        LLVMMemoryBufferRef object = shares[i].object;
        shares[i].object = NULL; // the linker takes it, also when it fails
        LLVMErrorRef failure = LLVMOrcLLJITAddObjectFile(code->jit, LLVMOrcLLJITGetMainJITDylib(code->jit), object);
        if (!report_failure(failure, diags, "link generated code")) return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        LLVMOrcExecutorAddress address = 0;
        LLVMErrorRef failure = LLVMOrcLLJITLookup(code->jit, &address, kernels[i].symbol);
        if (!report_failure(failure, diags, "find a kernel that it generated")) return false;
        kernels[i].function = (KernelFunction)(uintptr_t)address;
    }
    return true;
}

// All that one compilation holds of LLVM, besides the code.
typedef struct {
    MemoryOwned owned;
    Processor processor;
    Share shares[MAX_SHARES];
    uint32_t count;
} Compiler;

static void compiler_release(void *context) {
    Compiler *compiler = context;
    memory_disown(&compiler->owned);
    for (uint32_t i = 0; i < compiler->count; i++) {
        const Share *share = &compiler->shares[i];
        if (share->object) LLVMDisposeMemoryBuffer(share->object);
        if (share->error) LLVMDisposeMessage(share->error);
        if (share->llvm) LLVMDisposeMessage(share->llvm);
        if (share->assembly) LLVMDisposeMessage(share->assembly);
    }
    processor_release(&compiler->processor);
}

static void release_code(void *code) {
    cpu_code_free(code);
}

static CpuCode *link_all(Share *shares, uint32_t share_number, CpuKernel *kernels, uint32_t count,
                         CodegenReport *report, Diags *diags) {
    for (uint32_t i = 0; i < share_number; i++)
        if (shares[i].error) {
            diag_error(diags, (Place){0}, "LLVM cannot compile the kernels: %s", shares[i].error);
            return NULL;
        }
    double start = clock_seconds();
    CpuCode *code = memory_allocate(sizeof(CpuCode));
    memory_own(&code->owned, release_code, code);
    bool done = link_shares(code, shares, share_number, kernels, count, diags);
    report->link_seconds += clock_seconds() - start;
    memory_disown(&code->owned);
    if (done) return code;
    cpu_code_free(code);
    return NULL;
}

// ---- compiling, or not

static void compile_all(Compiler *compiler, CpuKernel *kernels, uint32_t count, CodegenReport *report) {
    double start = clock_seconds();
    uint32_t number = compiler->count = share_count(count, report);
    for (uint32_t i = 0; i < number; i++)
        compiler->shares[i] = (Share){.kernels = kernels,
                                      .count = count,
                                      .first = i,
                                      .stride = number,
                                      .processor = &compiler->processor,
                                      .wants_llvm = report->llvm,
                                      .wants_assembly = report->assembly};
    run_shares(compiler->shares, number);
    for (uint32_t i = 0; i < number; i++)
        if (compiler->shares[i].is_exhausted) memory_exhausted(compiler->shares[i].wanted);
    collect_report(compiler->shares, number, report);
    report->llvm_seconds += clock_seconds() - start;
}

static bool objects_key(const CpuKernel *kernels, uint32_t count, const Processor *processor, WideHash *key) {
    Arena *arena = arena_create();
    const char *text = arena_format(arena, "%s\n%s\n%s\n%d\n%s", processor->triple, processor->cpu,
                                    processor->features, processor->vector_bytes, pass_list);
    bool is_known = cpu_objects_key(kernels, count, text, key);
    arena_free(arena);
    return is_known;
}

static void remember(const Compiler *compiler, Cache *cache, WideHash key) {
    LLVMMemoryBufferRef objects[MAX_SHARES];
    for (uint32_t i = 0; i < compiler->count; i++) {
        objects[i] = compiler->shares[i].object;
        if (!objects[i] || compiler->shares[i].error) return;
    }
    cpu_objects_remember(cache, key, objects, compiler->count);
}

// Object files of all kernels: from the cache where they are, else compiled, and kept. Texts are always made anew.
static void make_objects(Compiler *compiler, CpuKernel *kernels, uint32_t count, CodegenReport *report) {
    WideHash key;
    bool is_kept = report->cache && !report->llvm && !report->assembly &&
                   objects_key(kernels, count, &compiler->processor, &key);
    if (is_kept) {
        LLVMMemoryBufferRef objects[MAX_SHARES];
        compiler->count = cpu_objects_recall(report->cache, key, objects, MAX_SHARES);
        for (uint32_t i = 0; i < compiler->count; i++)
            compiler->shares[i].object = objects[i];
    }
    report->recalled = compiler->count > 0;
    if (report->recalled) return;
    compile_all(compiler, kernels, count, report);
    if (is_kept) remember(compiler, report->cache, key);
}

CpuCode *cpu_code_create(CpuKernel *kernels, uint32_t count, const Target *target, CodegenReport *report,
                         Diags *diags) {
    Compiler compiler = {0};
    CpuCode *code = NULL;
    memory_own(&compiler.owned, compiler_release, &compiler);
    if (processor_init(&compiler.processor, target, diags)) {
        make_objects(&compiler, kernels, count, report);
        code = link_all(compiler.shares, compiler.count, kernels, count, report, diags);
    }
    compiler_release(&compiler);
    return code;
}

void cpu_code_free(CpuCode *code) {
    if (!code) return;
    memory_disown(&code->owned);
    if (code->jit) LLVMConsumeError(LLVMOrcDisposeLLJIT(code->jit));
    memory_release(code);
}

const char *codegen_llvm_version(void) {
    static char text[32];
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    snprintf(text, sizeof(text), "%u.%u.%u", major, minor, patch);
    return text;
}
