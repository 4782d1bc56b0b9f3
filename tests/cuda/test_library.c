// Products by a library: what cuBLASLt is told of a plan's product, on a library of the tests' own (fake_cublaslt.c)
// that does what it is told. Factors are small integers, so sums are exact in any order and any type.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/cuda/cubins.h"
#include "passes/passes.h"
#include "runtime/cuda/session.h"
#include "runtime/slot.h"
#include "tests/cuda/fake_driver.h"

typedef struct {
    Arena *arena;
    Diags *diags;
    Target target;
    const Plan *plan;
    CudaCode *code;
    CudaImages images;
    const CudaDriver *driver;
    const CudaLibrary *library;
    CudaDevice *device;
    CudaSession *session;
} Case;

// ---- from text to a session

static const Plan *plan_of(Case *test, const char *text, TensorKind kind) {
    Graph *graph = graph_parse(test->arena, "case", text, test->diags);
    StateTable *states = ARENA_NEW(test->arena, StateTable);
    Choices *choices = choices_create(test->arena);
    Plan *plan = NULL;
    states->arena = test->arena;
    assert_true(choices_add(choices, "choices", "make product by tensor cores\nengine * cublaslt\n", test->diags));
    choices_be_lenient(choices);
    choices_begin(choices, "step");
    PassContext context = {.arena = test->arena,
                           .diags = test->diags,
                           .ledger = ledger_create(test->arena),
                           .target = &test->target,
                           .fuse = FUSE_ALL,
                           .states = states,
                           .program = PROGRAM_PLAIN,
                           .choices = choices,
                           .tensor = kind};
    assert_non_null(graph);
    assert_true(passes_run(&graph, &plan, NULL, &context, NULL));
    return plan;
}

static Case begin(const char *text, TensorKind kind) {
    Case test = {.arena = arena_create()};
    const char *why = "", *name = "step";
    test.diags = diags_create(test.arena);
    test.driver = cuda_driver_open(test.arena, &why);
    test.library = cuda_library_open(test.arena, 13000, &why);
    const Nvrtc *nvrtc = nvrtc_open(test.arena, &why);
    if (!test.driver || !test.library || !nvrtc) fail_msg("%s", why);
    assert_int_equal(cuda_devices(test.arena, test.driver, &test.device, test.diags), 1);
    assert_true(target_of_gpu("sm_90a", &test.target));
    test.target.library_bytes = 4096;
    test.plan = plan_of(&test, text, kind);
    test.code = codegen_cuda(&test.plan, &name, 1, &test.target, NULL, test.diags);
    assert_non_null(test.code);
    CubinReport report;
    assert_true(cubins_make(nvrtc, NULL, test.arena, test.code, "sm_90a", &test.images, &report, test.diags));
    return test;
}

static void end(Case *test) {
    cuda_session_free(test->session);
    cuda_code_free(test->code);
    arena_free(test->arena);
}

static bool open_session(Case *test) {
    CudaSessionSettings settings = {.driver = test->driver,
                                    .device = test->device,
                                    .library = test->library,
                                    .kernels = test->code->kernels,
                                    .kernel_count = test->code->kernel_count,
                                    .images = &test->images,
                                    .programs = test->code->programs,
                                    .program_count = 1,
                                    .runs_per_launch = 1};
    return cuda_session_create(&settings, &test->session, test->diags) == RUNTIME_OK;
}

static const CudaProgram *program_of(const Case *test) { return &test->code->programs[0]; }

static uint32_t products_of(const Case *test) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < program_of(test)->launch_count; i++)
        count += program_of(test)->launches[i].product != NULL;
    return count;
}

// ---- values

static double small_integer(const char *name, size_t i) {
    uint32_t x = (uint32_t)i * 2654435761u + (uint32_t)name[0] * 40503u;
    return (double)(x >> 7) - 3.0 * (double)((x >> 7) / 3) - 1;   // -1, 0, 1
}

static const double *bind(void *context, const Leaf *leaf, DimList order) {
    Case *test = context;
    size_t count = (size_t)graph_elements(test->plan->dims, dim_list_set(&order));
    double *values = ARENA_ARRAY(test->arena, double, count + 1);
    for (size_t i = 0; i < count; i++) values[i] = small_integer(leaf->name, i);
    return values;
}

static void fill(const Case *test) {
    for (uint32_t i = 0; i < program_of(test)->slot_count; i++) {
        const ProgramSlot *slot = &program_of(test)->slots[i];
        if (slot->kind != SLOT_INPUT) continue;
        float *memory = cuda_session_input(test->session, program_of(test), slot->name);
        for (size_t k = 0; k < slot->bytes / sizeof *memory; k++) memory[k] = (float)small_integer(slot->name, k);
    }
}

static ValueId find_value(const Plan *plan, const char *name) {
    for (ValueId id = 0; id < plan->value_count; id++)
        if (plan->values[id].kind == VALUE_OUTPUT && text_equal(plan->values[id].name, name)) return id;
    fail_msg("no output %s", name);
    return 0;
}

// Whether a run gives the reference's outputs, but for so much.
static bool run_is_near(Case *test, double tolerance) {
    CudaRunResult result;
    bool is_done, is_right = true;
    double **wanted = ARENA_ARRAY(test->arena, double *, test->plan->value_count);
    assert_true(plan_reference(test->plan, test->arena, bind, test, wanted));
    fill(test);
    assert_true(cuda_session_submit(test->session, program_of(test), (CudaOrder){0}, test->diags));
    assert_true(cuda_session_flush(test->session, test->diags));
    assert_true(cuda_session_collect(test->session, true, &is_done, &result, test->diags));
    for (uint32_t i = 0; i < program_of(test)->slot_count; i++) {
        const ProgramSlot *slot = &program_of(test)->slots[i];
        if (slot->kind != SLOT_OUTPUT) continue;
        float *found = ARENA_ARRAY(test->arena, float, slot->bytes / sizeof *found + 1);
        const double *right = wanted[find_value(test->plan, slot->name)];
        assert_true(cuda_session_read(test->session, found, slot->buffer, slot->bytes, test->diags));
        for (int64_t k = 0; k < slot_elements(slot); k++) is_right &= fabs((double)found[k] - right[k]) <= tolerance;
    }
    return is_right;
}

static bool run_is_right(Case *test) { return run_is_near(test, 0); }

// ---- products in every position

#define INPUTS(a, b) "%0 = input f32[" a "] \"x\" stored(" a ")\n%1 = input f32[" b "] \"w\" stored(" b ")\n"
#define OUTPUT(c, over) "%2 = contract f32[" c "] %0 %1 over(" over ")\noutput \"y\" %2\n"
static const struct {
    const char *what, *text;
    uint32_t calls;
} shapes[] = {
    {"by weights", "graph \"c\"\ndim B=4 T=5 C=12 F=7\n" INPUTS("B,T,C", "C,F") OUTPUT("B,T,F", "C"), 1},
    {"by weights, turned", "graph \"c\"\ndim B=4 T=5 C=12 F=7\n" INPUTS("B,T,C", "F,C") OUTPUT("B,T,F", "C"), 1},
    {"gradient of weights", "graph \"c\"\ndim B=4 T=5 C=12 F=7\n" INPUTS("B,T,C", "B,T,F") OUTPUT("C,F", "B,T"), 1},
    {"its transpose", "graph \"c\"\ndim B=20 C=12 F=7\n" INPUTS("C,B", "B,F") OUTPUT("F,C", "B"), 1},
    {"square", "graph \"c\"\ndim B=8 C=8 F=8\n" INPUTS("B,C", "F,C") OUTPUT("B,F", "C"), 1},
    {"scores", "graph \"c\"\ndim B=3 H=2 T=6 S=6 D=4\n" INPUTS("B,T,H,D", "B,S,H,D") OUTPUT("B,H,T,S", "D"), 2},
    {"by probabilities", "graph \"c\"\ndim B=3 H=2 T=6 S=6 D=4\n" INPUTS("B,H,T,S", "B,S,H,D") OUTPUT("B,T,H,D", "S"),
     2},
    {"gradient of keys", "graph \"c\"\ndim B=3 H=2 T=6 S=6 D=4\n" INPUTS("B,H,T,S", "B,T,H,D") OUTPUT("B,S,H,D", "T"),
     2},
    {"heads first", "graph \"c\"\ndim B=3 H=2 T=6 S=5 D=4\n" INPUTS("B,H,T,D", "B,H,S,D") OUTPUT("B,H,T,S", "D"), 1},
    {"shared by all", "graph \"c\"\ndim B=3 T=6 S=5 D=4\n" INPUTS("B,T,D", "S,D") OUTPUT("B,S,T", "D"), 1},
    {"one row", "graph \"c\"\ndim B=1 C=12 F=7\n" INPUTS("B,C", "C,F") OUTPUT("B,F", "C"), 1},
    {"one lane", "graph \"c\"\ndim B=6 C=12 F=1\n" INPUTS("B,C", "C,F") OUTPUT("B,F", "C"), 1},
};

static void every_position(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        Case test = begin(shapes[i].text, TENSOR_NONE);
        if (products_of(&test) != 1) fail_msg("%s: %u products", shapes[i].what, products_of(&test));
        if (program_of(&test)->launches[0].product->call_count != shapes[i].calls)
            fail_msg("%s: %u calls", shapes[i].what, program_of(&test)->launches[0].product->call_count);
        assert_int_equal(program_of(&test)->workspace_bytes, 4096);
        assert_true(open_session(&test));
        if (!run_is_right(&test)) fail_msg("%s: wrong values", shapes[i].what);
        end(&test);
    }
}

// Two products, one behind the other, and one beside: all of them use the same workspace.
static const char several[] = "graph \"c\"\ndim B=8 C=8 F=16\n"
                              "%0 = input f32[B,C] \"x\" stored(B,C)\n%1 = input f32[C,F] \"w\" stored(C,F)\n"
                              "%2 = input f32[F,C] \"v\" stored(F,C)\n"
                              "%3 = contract f32[B,F] %0 %1 over(C)\n%4 = contract f32[B,C] %3 %2 over(F)\n"
                              "%5 = contract f32[C,F] %0 %3 over(B)\n"
                              "output \"y\" %4\noutput \"z\" %5\n";

static void one_at_a_time(void **state) {
    (void)state;
    static const TensorKind kinds[] = {TENSOR_NONE, TENSOR_TF32};
    for (int i = 0; i < 2; i++) {
        Case test = begin(several, kinds[i]);
        uint32_t last = UINT32_MAX;
        assert_int_equal(products_of(&test), 3);
        for (uint32_t s = 0; s < program_of(&test)->launch_count; s++) {
            const CudaLaunch *launch = &program_of(&test)->launches[s];
            bool waits = last == UINT32_MAX;
            for (uint32_t k = 0; k < launch->after_count; k++) waits |= launch->after[k] == last;
            if (!launch->product) continue;
            assert_true(waits);
            assert_int_equal(launch->kernel, CUDA_NO_KERNEL);
            assert_int_equal(launch->product->rounding, i == 0 ? CUDA_ROUND_NOT : CUDA_ROUND_TF32);
            last = s;
        }
        assert_true(open_session(&test));
        assert_true(run_is_right(&test));
        assert_true(run_is_right(&test));
        end(&test);
    }
}

// What two products write and a third one reads is stored in bf16, and that one is the library's as it is.
static void factors_in_bf16(void **state) {
    (void)state;
    static const char text[] = "graph \"c\"\ndim B=8 C=8 D=8 F=8\n"
                               "%0 = input f32[B,C] \"x\" stored(B,C)\n%1 = input f32[C,F] \"w\" stored(C,F)\n"
                               "%2 = input f32[C,D] \"v\" stored(C,D)\n"
                               "%3 = contract f32[B,F] %0 %1 over(C)\n%4 = contract f32[B,D] %0 %2 over(C)\n"
                               "%5 = contract f32[D,F] %3 %4 over(B)\noutput \"y\" %5\n";
    Case test = begin(text, TENSOR_BF16);
    uint32_t narrow = 0;
    for (uint32_t i = 0; i < program_of(&test)->launch_count; i++) {
        const CudaProduct *product = program_of(&test)->launches[i].product;
        narrow += product && product->first.element == ELEMENT_BF16 && product->second.element == ELEMENT_BF16;
    }
    assert_int_equal(narrow, 1);
    assert_true(open_session(&test));
    assert_true(run_is_right(&test));
    end(&test);
}

// ---- epilogues

#define SUM INPUTS("B,T,C", "C,F") "%2 = contract f32[B,T,F] %0 %1 over(C)\n"
#define BIAS "%3 = input f32[F] \"b\" stored(F)\n"
#define ADDED "%4 = input f32[B,T,F] \"r\" stored(B,T,F)\n"
#define GELU(h)                                                                                                        \
    "%10 = const f32[] 0.5\n%11 = mul f32[B,T,F] " h " %10\n%12 = mul f32[B,T,F] " h " " h "\n"                        \
    "%13 = mul f32[B,T,F] " h " %12\n%14 = const f32[] 0.044715\n%15 = mul f32[B,T,F] %13 %14\n"                      \
    "%16 = add f32[B,T,F] " h " %15\n%17 = const f32[] 0.7978845608028654\n%18 = mul f32[B,T,F] %16 %17\n"            \
    "%19 = tanh f32[B,T,F] %18\n%20 = const f32[] 1\n%21 = add f32[B,T,F] %19 %20\n%22 = mul f32[B,T,F] %11 %21\n"    \
    "output \"y\" %22\n"

static const struct {
    const char *what, *text;
    bool has_added, has_bias, is_gelu;
    uint32_t calls;
} epilogues[] = {
    {"a bias", "graph \"c\"\ndim B=4 T=5 C=12 F=7\n" SUM BIAS "%5 = add f32[B,T,F] %3 %2\noutput \"y\" %5\n", false,
     true, false, 1},
    {"a matrix", "graph \"c\"\ndim B=4 T=5 C=12 F=7\n" SUM ADDED "%5 = add f32[B,T,F] %2 %4\noutput \"y\" %5\n", true,
     false, false, 1},
    {"both",
     "graph \"c\"\ndim B=4 T=5 C=12 F=7\n" SUM BIAS ADDED
     "%5 = add f32[B,T,F] %3 %2\n%6 = add f32[B,T,F] %4 %5\noutput \"y\" %6\n",
     true, true, false, 1},
    {"gelu", "graph \"c\"\ndim B=4 T=5 C=12 F=7\n" SUM GELU("%2"), false, false, true, 1},
    {"a bias and gelu",
     "graph \"c\"\ndim B=4 T=5 C=12 F=7\n" SUM BIAS "%5 = add f32[B,T,F] %3 %2\n" GELU("%5"), false, true, true, 1},
    {"a part of a larger matrix",
     "graph \"c\"\ndim B=4 T=5 C=12 F=7 Z=3\n" SUM "%3 = input f32[B,T,Z,F] \"r\" stored(B,T,Z,F)\n"
     "%4 = select f32[B,T,F] %3 from Z at 1\n%5 = add f32[B,T,F] %2 %4\noutput \"y\" %5\n",
     true, false, false, 1},
    {"heads, in several calls",
     "graph \"c\"\ndim B=3 H=2 T=6 S=5 D=4\n" INPUTS("B,T,H,D", "B,S,H,D") "%2 = contract f32[B,H,T,S] %0 %1 over(D)\n"
     "%3 = input f32[B,H,T,S] \"r\" stored(B,H,T,S)\n%4 = input f32[S] \"b\" stored(S)\n"
     "%5 = add f32[B,H,T,S] %2 %3\n%6 = add f32[B,H,T,S] %5 %4\noutput \"y\" %6\n",
     true, true, false, 2},
};
enum { EPILOGUES = sizeof epilogues / sizeof *epilogues };

static void epilogues_of_all_kinds(void **state) {
    (void)state;
    for (size_t i = 0; i < EPILOGUES; i++) {
        Case test = begin(epilogues[i].text, TENSOR_NONE);
        if (products_of(&test) != 1 || program_of(&test)->launch_count != 1)
            fail_msg("%s: %u products", epilogues[i].what, products_of(&test));
        const CudaProduct *product = program_of(&test)->launches[0].product;
        assert_int_equal(product->has_added, epilogues[i].has_added);
        assert_int_equal(product->has_bias, epilogues[i].has_bias);
        assert_int_equal(product->is_gelu, epilogues[i].is_gelu);
        assert_int_equal(product->call_count, epilogues[i].calls);
        assert_true(open_session(&test));
        if (!run_is_near(&test, epilogues[i].is_gelu ? 1e-5 : 0)) fail_msg("%s: wrong values", epilogues[i].what);
        end(&test);
    }
}

// What nobody reads later is written over: the matrix that is added and the result are one.
static void over_what_is_added(void **state) {
    (void)state;
    static const char text[] = "graph \"c\"\ndim B=8 C=8 F=16\n"
                               "%0 = input f32[B,C] \"x\" stored(B,C)\n%1 = input f32[C,F] \"w\" stored(C,F)\n"
                               "%2 = input f32[C,F] \"v\" stored(C,F)\n%3 = contract f32[B,F] %0 %1 over(C)\n"
                               "%4 = contract f32[B,F] %0 %2 over(C)\n%5 = add f32[B,F] %3 %4\noutput \"y\" %5\n";
    Case test = begin(text, TENSOR_NONE);
    assert_int_equal(products_of(&test), 2);
    const CudaLaunch *last = &program_of(&test)->launches[program_of(&test)->launch_count - 1];
    assert_true(last->product && last->product->has_added);
    const ProgramBuffer *buffers = last->buffers;
    assert_int_equal(buffers[last->product->added.buffer].offset, buffers[last->product->result.buffer].offset);
    assert_true(open_session(&test));
    assert_true(run_is_right(&test));
    assert_true(run_is_right(&test));
    end(&test);
}

typedef enum { NO_MATRIX, NO_BIAS, OTHER_BIAS, OTHER_LINES, OTHER_BATCH, OTHER_CALL, NO_FAULT } EpilogueFault;

static void plant_in_epilogue(CudaProduct *product, EpilogueFault fault, CudaCall *calls) {
    switch (fault) {
    case NO_MATRIX: product->has_added = false; break;
    case NO_BIAS: product->has_bias = false; break;
    case OTHER_BIAS: product->bias.offset++; break;
    case OTHER_LINES: product->added.leading++; break;
    case OTHER_BATCH: product->added.batch_stride--; break;
    case OTHER_CALL: calls[1].added--; break;
    case NO_FAULT: break;
    }
}

static void what_is_wrong_in_an_epilogue_shows(void **state) {
    (void)state;
    for (EpilogueFault fault = NO_MATRIX; fault <= NO_FAULT; fault++) {
        Case test = begin(epilogues[EPILOGUES - 1].text, TENSOR_NONE);
        CudaLaunch *launch = (CudaLaunch *)&program_of(&test)->launches[0];
        CudaProduct product = *launch->product;
        CudaCall calls[2] = {product.calls[0], product.calls[1]};
        plant_in_epilogue(&product, fault, calls);
        product.calls = calls;
        launch->product = &product;
        bool is_right = open_session(&test) && run_is_right(&test);
        if (is_right != (fault == NO_FAULT)) fail_msg("fault %d: %s", (int)fault, is_right ? "unseen" : "wrong");
        end(&test);
    }
}

// ---- faults

typedef enum { TURNED, LEADING, OFFSET, BATCH_STRIDE, CALL, EXTENT, FAULTS } Fault;

static void plant(CudaProduct *product, Fault fault, CudaCall *calls) {
    switch (fault) {
    case TURNED: product->first.is_turned = !product->first.is_turned; break;
    case LEADING: product->second.leading++; break;
    case OFFSET: product->first.offset++; break;
    case BATCH_STRIDE: product->result.batch_stride++; break;
    case CALL: calls[1].second++; break;
    case EXTENT: product->summed--; break;
    case FAULTS: break;
    }
}

// The scores of attention, with as many positions as a head is wide, so that nothing but values is wrong when a matrix
// is turned.
static void what_is_wrong_shows(void **state) {
    (void)state;
    static const char text[] =
        "graph \"c\"\ndim B=3 H=2 T=4 S=4 D=4\n" INPUTS("B,T,H,D", "B,S,H,D") OUTPUT("B,H,T,S", "D");
    for (Fault fault = TURNED; fault <= FAULTS; fault++) {
        Case test = begin(text, TENSOR_NONE);
        CudaLaunch *launch = (CudaLaunch *)&program_of(&test)->launches[0];
        CudaProduct product = *launch->product;
        CudaCall calls[2] = {product.calls[0], product.calls[1]};
        assert_int_equal(product.call_count, 2);
        plant(&product, fault, calls);
        product.calls = calls;
        launch->product = &product;
        bool is_right = open_session(&test) && run_is_right(&test);
        if (is_right != (fault == FAULTS)) fail_msg("fault %d: %s", (int)fault, is_right ? "unseen" : "wrong");
        end(&test);
    }
}

static void expect_words(const Case *test, const char *words) {
    Text text = text_create(test->arena);
    diags_render(test->diags, &text);
    if (!strstr(text_string(&text), words)) fail_msg("'%s' is not in:\n%s", words, text_string(&text));
}

static void refusals_are_sentences(void **state) {
    (void)state;
    static const char *const kinds[][2] = {
        {"refuses", "cuBLASLt cannot compute 'product y', 7 x 20, sum of 12: CUBLAS_STATUS_NOT_SUPPORTED; a choice "
                    "'engine PLACE tiles' leaves it to Sinter's own kernels"},
        {"broken", "cuBLASLt cannot start 'product y'"}};
    for (int i = 0; i < 2; i++) {
        Case test = begin(shapes[0].text, TENSOR_NONE);
        setenv("SINTER_FAKE_LIBRARY", kinds[i][0], 1);
        assert_false(open_session(&test));
        expect_words(&test, kinds[i][1]);
        unsetenv("SINTER_FAKE_LIBRARY");
        end(&test);
    }
}

// Every call to the driver that a product takes, failing once: a diagnostic, and nothing is kept.
static void failing_calls_leave_nothing(void **state) {
    (void)state;
    static const char *const calls[] = {"cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphAddChildGraphNode",
                                        "cuLaunchKernel"};
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    FakeDriver *fake = dlsym(driver, "fake_driver");
    int (*count)(const char *) = NULL;
    long (*held)(void) = NULL;
    *(void **)&count = dlsym(driver, "fake_calls");
    *(void **)&held = dlsym(driver, "fake_held");
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        Case test = begin(shapes[0].text, TENSOR_NONE);
        long before = held();
        fake->failing = calls[i];
        fake->failing_call = count(calls[i]) + 1;
        fake->error = 2;
        assert_false(open_session(&test));
        expect_words(&test, i == 3 ? "cuBLASLt cannot start" : "out of memory");
        fake->failing = NULL;
        assert_int_equal(held(), before);
        end(&test);
    }
    dlclose(driver);
}

// ---- the library itself

static void versions(void **state) {
    (void)state;
    static const struct {
        const char *kind, *words;
        int driver;
    } cases[] = {{"old", "libcublasLt.so.13 is version 11.11.1; 12.0 or newer is needed", 13000},
                 {"new", "libcublasLt.so.13 is version 14.0.0, and the driver is for CUDA 13.0", 13000},
                 {"old", "libcublasLt.so.13 is version 11.11.1; 12.0 or newer is needed", 0}};
    Arena *arena = arena_create();
    const char *why = "";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("SINTER_FAKE_LIBRARY", cases[i].kind, 1);
        assert_null(cuda_library_open(arena, cases[i].driver, &why));
        assert_string_equal(why, cases[i].words);
    }
    unsetenv("SINTER_FAKE_LIBRARY");
    const CudaLibrary *library = cuda_library_open(arena, 13010, &why);
    assert_non_null(library);
    assert_string_equal(cuda_library_version(arena, library), "13.1.0");
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_position),         cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(factors_in_bf16),        cmocka_unit_test(what_is_wrong_shows),
        cmocka_unit_test(over_what_is_added),
        cmocka_unit_test(epilogues_of_all_kinds), cmocka_unit_test(what_is_wrong_in_an_epilogue_shows),
        cmocka_unit_test(refusals_are_sentences), cmocka_unit_test(failing_calls_leave_nothing),
        cmocka_unit_test(versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
