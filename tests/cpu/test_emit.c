// Generated kernels against the tile interpreter, bit for bit, at three vector widths; and what only a backend has:
// aliased buffers, sharing, NaNs, errors in LLVM's words.
#include "tests/cpu/compile.h"

#include <math.h>

#include "ir/reference/reference.h"
#include "tests/codegen/interpret_tile.h"

enum { MOST_BUFFERS = 6 };

// Runs every piece by the interpreter and by code for each vector width; all buffers must end up with equal bits.
// Buffers of i32 hold 0 .. limit-1, bools 0 and 1.
static void check(Arena *arena, const TileProgram *program, uint32_t pieces, int limit) {
    static const int widths[] = {64, 32, 16};
    for (int w = 0; w < 3; w++) {
        Compiled compiled = compile_for(arena, program, widths[w], NULL);
        float *found[MOST_BUFFERS], *wanted[MOST_BUFFERS];
        for (uint32_t i = 0; i < program->buffer_count; i++) {
            size_t count = (size_t)program->buffers[i].elements;
            found[i] = floats(count), wanted[i] = floats(count);
            for (size_t k = 0; k < count && program->buffers[i].dtype != DTYPE_F32; k++) {
                if (program->buffers[i].dtype == DTYPE_I32)
                    ((int32_t *)found[i])[k] = (int32_t)(k * 31 % (size_t)limit);
                if (program->buffers[i].dtype == DTYPE_BOOL) ((unsigned char *)found[i])[k] = k % 3 == 0;
            }
            memcpy(wanted[i], found[i], count * sizeof(float));
        }
        for (uint32_t piece = 0; piece < pieces; piece++) {
            const char *wrong = interpret_tile(program, (void *const *)wanted, piece, arena);
            if (wrong) fail_msg("%s", wrong);
            compiled.run((void *const *)found, piece, NULL);
        }
        for (uint32_t i = 0; i < program->buffer_count; i++) {
            size_t count = (size_t)program->buffers[i].elements;
            for (size_t k = 0; k < count; k++)
                assert_same_bits(found[i][k], wanted[i][k], k);
            release(found[i], count), release(wanted[i], count);
        }
        cpu_code_free(compiled.code);
    }
}

static void store(TileBuilder *b, int buffer, TileIndex index, TileValue value) {
    tile_store(b, buffer, index, value);
}

static TileValue load(TileBuilder *b, int buffer, TileIndex index) {
    return tile_load(b, buffer, DTYPE_F32, index);
}

static TileValue map2(TileBuilder *b, int function, DType dtype, TileValue x, TileValue y) {
    return tile_map(b, function, dtype, (TileValue[]){x, y}, 2);
}

// ---- products

static TileProgram *product(Arena *arena, int m, int n, int k, uint32_t tile_rows, uint32_t tile_lanes,
                            uint32_t pieces) {
    TileBuilder *b = tile_builder(arena, arena_format(arena, "product_%d_%d_%d_%u_%u", m, n, k, tile_rows, pieces));
    int x = tile_buffer(b, DTYPE_F32, (int64_t)m * k, false), w = tile_buffer(b, DTYPE_F32, (int64_t)k * n, false);
    int bias = tile_buffer(b, DTYPE_F32, n, false), y = tile_buffer(b, DTYPE_F32, (int64_t)m * n, true);
    TileValue r = tile_loop(b, LOOP_ROWS, "r", m, pieces, tile_rows, true);
    TileValue l = lanes(b, n, tile_lanes);
    TileValue sum = zero(b, SHAPE_ROWS | SHAPE_LANES, 0, 0);
    TileValue i = tile_loop(b, LOOP_PLAIN, "k", k, 0, 0, false);
    TileValue a = load(b, x, at(0, r, k, i, 1)), c = load(b, w, at(0, i, n, l, 1));
    tile_add(b, &(TileOp){.kind = TILE_MULTIPLY_ACCUMULATE,
                          .dtype = DTYPE_F32,
                          .shape = SHAPE_ROWS | SHAPE_LANES,
                          .operands = {sum, a, c},
                          .operand_count = 3});
    tile_end(b);
    TileValue shifted = map2(b, OP_ADD, DTYPE_F32, sum, load(b, bias, at(0, l, 1, TILE_NONE, 0)));
    store(b, y, at(0, r, n, l, 1), shifted);
    tile_end(b), tile_end(b);
    return tile_finish(b);
}

static void products(void **state) {
    (void)state;
    Arena *arena = arena_create();
    check(arena, product(arena, 65, 32, 40, 13, 32, 0), 1, 1);
    check(arena, product(arena, 64, 40, 7, 13, 32, 0), 1, 1); // 13,13,13,13,12 rows; 8 lanes in the tail
    check(arena, product(arena, 10, 33, 5, 3, 16, 4), 4, 1);  // pieces of 2 and 3 rows
    check(arena, product(arena, 3, 1, 1, 8, 16, 5), 5, 1);    // more pieces than rows
    arena_free(arena);
}

// Enough operations on a register tile that they become a loop over its rows; values of rows, lanes and both come from
// outside of that loop, and one of them is an index.
static TileProgram *long_epilogue(Arena *arena, int m, int n, uint32_t pieces) {
    TileBuilder *b = tile_builder(arena, arena_format(arena, "epilogue_%d_%d", m, n));
    int x = tile_buffer(b, DTYPE_F32, (int64_t)m * n, false), scale = tile_buffer(b, DTYPE_F32, m, false);
    int bias = tile_buffer(b, DTYPE_F32, n, false), y = tile_buffer(b, DTYPE_F32, (int64_t)m * n, true);
    int key = tile_buffer(b, DTYPE_I32, 3, false);
    TileValue r = tile_loop(b, LOOP_ROWS, "r", m, pieces, 13, true), l = lanes(b, n, 32);
    TileValue sum = zero(b, SHAPE_ROWS | SHAPE_LANES, 0, 0.5);
    TileValue factor = load(b, scale, at(0, r, 1, TILE_NONE, 0)), offset = load(b, bias, at(0, l, 1, TILE_NONE, 0));
    TileValue position = tile_add(
        b, &(TileOp){
               .kind = TILE_INDEX, .dtype = DTYPE_I32, .shape = SHAPE_ROWS | SHAPE_LANES, .index = at(0, r, n, l, 1)});
    TileValue i = tile_loop(b, LOOP_PLAIN, "i", 3, 0, 0, false);
    accumulate(b, OP_SUM, sum, map2(b, OP_MUL, DTYPE_F32, factor, load(b, bias, at(0, i, 1, TILE_NONE, 0))));
    tile_end(b);
    TileOp random = {.kind = TILE_RANDOM,
                     .dtype = DTYPE_F32,
                     .operand_count = 3,
                     .shape = SHAPE_ROWS | SHAPE_LANES,
                     .index = at(7, r, n, l, 1),
                     .site = 99};
    for (int k = 0; k < 3; k++)
        random.operands[k] = tile_load(b, key, DTYPE_I32, tile_index(k));
    TileValue value = map2(b, OP_ADD, DTYPE_F32, sum, load(b, x, at(0, r, n, l, 1)));
    for (int k = 0; k < 20; k++)
        value = map2(b, k % 2 ? OP_SUB : OP_MUL, DTYPE_F32, value, k % 3 ? factor : offset);
    value = map2(b, OP_ADD, DTYPE_F32, value, tile_map(b, OP_TO_FLOAT, DTYPE_F32, &position, 1));
    TileValue kept = map2(b, OP_LT, DTYPE_BOOL, tile_add(b, &random), tile_const(b, DTYPE_F32, 0.75));
    store(b, y, at(0, r, n, l, 1), tile_map(b, OP_WHERE, DTYPE_F32, (TileValue[]){kept, value, factor}, 3));
    tile_end(b), tile_end(b);
    return tile_finish(b);
}

static void long_epilogues(void **state) {
    (void)state;
    Arena *arena = arena_create();
    check(arena, long_epilogue(arena, 40, 50, 0), 1, 1000);
    check(arena, long_epilogue(arena, 27, 16, 2), 2, 1000);
    arena_free(arena);
}

// ---- rows and columns

static TileProgram *row_sums(Arena *arena, int rows_, int columns, int function, double start) {
    TileBuilder *b = tile_builder(arena, arena_format(arena, "rows_%d_%d_%d", rows_, columns, function));
    int x = tile_buffer(b, DTYPE_F32, (int64_t)rows_ * columns, false), y = tile_buffer(b, DTYPE_F32, rows_, true);
    TileValue r = tile_loop(b, LOOP_PIECE, "r", rows_, 3, 0, false);
    TileValue sum = zero(b, SHAPE_LANES, 0, start);
    TileValue l = lanes(b, columns, 64);
    accumulate(b, function, sum, load(b, x, at(0, r, columns, l, 1)));
    tile_end(b);
    store(b, y, at(0, r, 1, TILE_NONE, 0), row_reduce(b, function, SHAPE_UNIFORM, sum));
    tile_end(b);
    return tile_finish(b);
}

static TileProgram *column_sums(Arena *arena, int rows_, int columns, uint32_t pieces) {
    TileBuilder *b = tile_builder(arena, arena_format(arena, "columns_%d_%d_%u", rows_, columns, pieces));
    int x = tile_buffer(b, DTYPE_F32, (int64_t)rows_ * columns, false), y = tile_buffer(b, DTYPE_F32, columns, true);
    TileValue l = tile_loop(b, LOOP_LANES, "l", columns, pieces, 16, false);
    TileValue sum = zero(b, SHAPE_ROWS | SHAPE_LANES, 16, 0);
    TileValue r = tile_loop(b, LOOP_ROWS, "r", rows_, 0, 16, false);
    accumulate(b, OP_SUM, sum, load(b, x, at(0, r, columns, l, 1)));
    tile_end(b);
    store(b, y, at(0, l, 1, TILE_NONE, 0), row_reduce(b, OP_SUM, SHAPE_LANES, sum));
    tile_end(b);
    return tile_finish(b);
}

static void reductions(void **state) {
    (void)state;
    Arena *arena = arena_create();
    check(arena, row_sums(arena, 7, 200, OP_SUM, 0), 3, 1);
    check(arena, row_sums(arena, 2, 65, OP_MAX, -INFINITY), 3, 1);
    check(arena, row_sums(arena, 5, 3, OP_SUM, 0), 3, 1);
    check(arena, column_sums(arena, 37, 40, 0), 1, 1);
    check(arena, column_sums(arena, 5, 50, 3), 3, 1);
    arena_free(arena);
}

// ---- addresses

static TileValue clamped(TileBuilder *b, TileValue value, int32_t most) {
    TileValue low = map2(b, TILE_MAXIMUM_INTEGER, DTYPE_I32, value, tile_const(b, DTYPE_I32, 0));
    return map2(b, TILE_MINIMUM_INTEGER, DTYPE_I32, low, tile_const(b, DTYPE_I32, most));
}

// Transposed store, strided load, a gather by computed index, a bool mask, a table.
static TileProgram *addresses(Arena *arena) {
    TileBuilder *b = tile_builder(arena, "addresses");
    int x = tile_buffer(b, DTYPE_F32, 23 * 41, false), number = tile_buffer(b, DTYPE_I32, 41, false);
    int keep = tile_buffer(b, DTYPE_BOOL, 41, false), y = tile_buffer(b, DTYPE_F32, 23 * 41, true);
    int kept = tile_buffer(b, DTYPE_BOOL, 23 * 41, true);
    static const double numbers[7] = {0.5, -1, 2, 3.25, 4, 5, -6};
    TileValue r = rows(b, 23, 5), l = lanes(b, 41, 32);
    TileValue chosen = clamped(b, tile_load(b, number, DTYPE_I32, at(0, l, 1, TILE_NONE, 0)), 22);
    TileValue gathered = load(b, x, at(0, chosen, 41, r, 1));
    TileValue strided = load(b, x, at(0, l, 23, r, 1));
    TileValue seven = tile_const(b, DTYPE_I32, 7);
    TileValue place = map2(b, TILE_REMAINDER, DTYPE_I32,
                           tile_add(b, &(TileOp){.kind = TILE_INDEX,
                                                 .dtype = DTYPE_I32,
                                                 .shape = SHAPE_ROWS | SHAPE_LANES,
                                                 .index = at(3, r, 1, l, 2)}),
                           seven);
    TileValue constant = tile_add(b, &(TileOp){.kind = TILE_TABLE,
                                               .dtype = DTYPE_F32,
                                               .shape = SHAPE_ROWS | SHAPE_LANES,
                                               .index = at(0, place, 1, TILE_NONE, 0),
                                               .table = numbers,
                                               .table_count = 7});
    TileValue mask = tile_load(b, keep, DTYPE_BOOL, at(0, l, 1, TILE_NONE, 0));
    TileValue sum = map2(b, OP_ADD, DTYPE_F32, map2(b, OP_MUL, DTYPE_F32, gathered, constant), strided);
    TileValue result = tile_map(b, OP_WHERE, DTYPE_F32, (TileValue[]){mask, sum, gathered}, 3);
    store(b, y, at(0, l, 23, r, 1), result);
    store(b, kept, at(0, r, 41, l, 1), map2(b, OP_LT, DTYPE_BOOL, strided, gathered));
    tile_end(b), tile_end(b);
    return tile_finish(b);
}

static TileProgram *scatter(Arena *arena, bool transposed) {
    TileBuilder *b = tile_builder(arena, arena_format(arena, "scatter_%d", transposed));
    int number = tile_buffer(b, DTYPE_I32, 30, false), x = tile_buffer(b, DTYPE_F32, 30 * 40, false);
    int y = tile_buffer(b, DTYPE_F32, 10 * 40, true);
    TileValue i = tile_loop(b, LOOP_PLAIN, "i", 30, 0, 0, false);
    TileValue chosen = tile_load(b, number, DTYPE_I32, at(0, i, 1, TILE_NONE, 0));
    TileValue row = tile_guard(b, "v", 10, 3, chosen);
    TileValue l = lanes(b, 40, 32);
    TileValue value = load(b, x, at(0, i, 40, l, 1));
    tile_add(b, &(TileOp){.kind = TILE_SCATTER_ADD,
                          .dtype = DTYPE_F32,
                          .buffer = y,
                          .operands = {value},
                          .operand_count = 1,
                          .shape = SHAPE_LANES,
                          .index = transposed ? at(0, row, 1, l, 10) : at(0, row, 40, l, 1)});
    tile_end(b), tile_end(b), tile_end(b);
    return tile_finish(b);
}

static void memory(void **state) {
    (void)state;
    Arena *arena = arena_create();
    check(arena, addresses(arena), 1, 30);      // some numbers are too large and are clamped
    check(arena, scatter(arena, false), 3, 13); // some indices lie outside and are dropped
    check(arena, scatter(arena, true), 3, 13);
    arena_free(arena);
}

// ---- random

static void random_numbers(void **state) {
    (void)state;
    enum { COUNT = 77 };
    Arena *arena = arena_create();
    TileBuilder *b = tile_builder(arena, "random");
    int key = tile_buffer(b, DTYPE_I32, 3, false), y = tile_buffer(b, DTYPE_F32, COUNT, true);
    TileOp op = {.kind = TILE_RANDOM, .dtype = DTYPE_F32, .operand_count = 3, .shape = SHAPE_LANES};
    for (int i = 0; i < 3; i++)
        op.operands[i] = tile_load(b, key, DTYPE_I32, tile_index(i));
    op.site = reference_site_key("layer[0].p");
    TileValue l = lanes(b, COUNT, 32);
    op.index = at(1000, l, 3, TILE_NONE, 0);
    store(b, y, at(0, l, 1, TILE_NONE, 0), tile_add(b, &op));
    tile_end(b);
    const TileProgram *program = tile_finish(b);
    check(arena, program, 1, 1000);

    Compiled compiled = compile(arena, program);
    int32_t seed[3] = {1337, 12, 3};
    float *found = floats(COUNT);
    compiled.run((void *const[]){seed, found}, 0, NULL);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t bits = reference_random_bits(1337, 12, 3, "layer[0].p", 1000 + 3 * i);
        assert_same_bits(found[i], (float)(bits >> 8) * 0x1p-24f, i);
    }
    release(found, COUNT);
    cpu_code_free(compiled.code);
    arena_free(arena);
}

// ---- pointwise

static TileProgram *binary(Arena *arena, Op op, DType dtype, DType result, int64_t count) {
    TileBuilder *b = tile_builder(arena, arena_format(arena, "binary_%s_%s", op_name(op), dtype_name(dtype)));
    int x = tile_buffer(b, dtype, count, false), y = tile_buffer(b, dtype, count, false);
    int z = tile_buffer(b, result, count, true);
    TileValue l = lanes(b, count, 32);
    TileIndex index = at(0, l, 1, TILE_NONE, 0);
    TileValue operands[2] = {tile_load(b, x, dtype, index), tile_load(b, y, dtype, index)};
    store(b, z, index, tile_map(b, op, result, operands, op_operands(op)));
    tile_end(b);
    return tile_finish(b);
}

static void pointwise(void **state) {
    (void)state;
    static const Op float_ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_MAXIMUM, OP_MINIMUM, OP_NEG, OP_ABS};
    static const Op integer_ops[] = {OP_ADD, OP_SUB, OP_MUL};
    static const Op compare_ops[] = {OP_LT, OP_LE, OP_EQ};
    static const Op bool_ops[] = {OP_AND, OP_OR, OP_EQ, OP_NOT};
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof(float_ops) / sizeof(Op); i++)
        check(arena, binary(arena, float_ops[i], DTYPE_F32, DTYPE_F32, 37), 1, 1);
    for (size_t i = 0; i < sizeof(integer_ops) / sizeof(Op); i++)
        check(arena, binary(arena, integer_ops[i], DTYPE_I32, DTYPE_I32, 37), 1, 1000);
    for (size_t i = 0; i < sizeof(compare_ops) / sizeof(Op); i++) {
        check(arena, binary(arena, compare_ops[i], DTYPE_F32, DTYPE_BOOL, 37), 1, 1);
        check(arena, binary(arena, compare_ops[i], DTYPE_I32, DTYPE_BOOL, 37), 1, 3);
    }
    for (size_t i = 0; i < sizeof(bool_ops) / sizeof(Op); i++)
        check(arena, binary(arena, bool_ops[i], DTYPE_BOOL, DTYPE_BOOL, 37), 1, 1);
    check(arena, binary(arena, OP_TO_FLOAT, DTYPE_I32, DTYPE_F32, 37), 1, 100000);
    check(arena, binary(arena, OP_TO_FLOAT, DTYPE_BOOL, DTYPE_F32, 37), 1, 1);
    arena_free(arena);
}

static void float_of(const TileProgram *program, Arena *arena, const float *x, const float *y, float *z) {
    Compiled compiled = compile(arena, program);
    compiled.run((void *const[]){(void *)x, (void *)y, z}, 0, NULL);
    cpu_code_free(compiled.code);
}

static void special_numbers(void **state) {
    (void)state;
    Arena *arena = arena_create();
    static const float x[6] = {NAN, 1, NAN, -INFINITY, 0, 4}, y[6] = {1, NAN, NAN, INFINITY, 0, 2};
    float z[6];
    float_of(binary(arena, OP_MAXIMUM, DTYPE_F32, DTYPE_F32, 6), arena, x, y, z);
    assert_true(isnan(z[0]) && isnan(z[1]) && isnan(z[2]) && z[3] == INFINITY && z[5] == 4);
    float_of(binary(arena, OP_MINIMUM, DTYPE_F32, DTYPE_F32, 6), arena, x, y, z);
    assert_true(isnan(z[0]) && isnan(z[1]) && isnan(z[2]) && z[3] == -INFINITY && z[5] == 2);
    float_of(binary(arena, OP_SQRT, DTYPE_F32, DTYPE_F32, 6), arena, x, y, z);
    assert_true(isnan(z[0]) && z[1] == 1 && isnan(z[3]) && z[4] == 0 && z[5] == 2);
    float_of(binary(arena, OP_RSQRT, DTYPE_F32, DTYPE_F32, 6), arena, x, y, z);
    assert_true(isnan(z[0]) && z[1] == 1 && isnan(z[3]) && z[4] == INFINITY && z[5] == 0.5f);
    arena_free(arena);
}

// A NaN in a row must not get lost in its maximum, whichever lane it is in.
static void maximum_keeps_nans(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Compiled compiled = compile(arena, row_sums(arena, 3, 65, OP_MAX, -INFINITY));
    for (int lane = 0; lane < 65; lane += 8) {
        float *x = floats(3 * 65), *y = floats(3);
        x[65 + lane] = NAN;
        for (int piece = 0; piece < 3; piece++)
            compiled.run((void *const[]){x, y}, piece, NULL);
        assert_true(!isnan(y[0]) && isnan(y[1]) && !isnan(y[2]));
        release(x, 3 * 65), release(y, 3);
    }
    cpu_code_free(compiled.code);
    arena_free(arena);
}

// ---- aliasing and sharing

// m' = (m + x) / 2 over m, and p' = p - m' over p: reads and writes meet in both buffers.
static void updates_in_place(void **state) {
    (void)state;
    enum { COUNT = 131 };
    Arena *arena = arena_create();
    TileBuilder *b = tile_builder(arena, "update");
    int x = tile_buffer(b, DTYPE_F32, COUNT, false), m = tile_buffer(b, DTYPE_F32, COUNT, false);
    int p = tile_buffer(b, DTYPE_F32, COUNT, false);
    int new_m = tile_buffer(b, DTYPE_F32, COUNT, true), new_p = tile_buffer(b, DTYPE_F32, COUNT, true);
    TileValue l = lanes(b, COUNT, 64);
    TileIndex index = at(0, l, 1, TILE_NONE, 0);
    TileValue sum = map2(b, OP_ADD, DTYPE_F32, load(b, m, index), load(b, x, index));
    TileValue mean = map2(b, OP_MUL, DTYPE_F32, sum, tile_const(b, DTYPE_F32, 0.5));
    store(b, new_m, index, mean);
    store(b, new_p, index, map2(b, OP_SUB, DTYPE_F32, load(b, p, index), mean));
    tile_end(b);
    static const bool aliased[] = {false, true, true, true, true};
    Compiled compiled = compile_for(arena, tile_finish(b), 64, aliased);
    float *gradient = floats(COUNT), *moment = floats(COUNT), *parameter = floats(COUNT), *start = floats(COUNT);
    compiled.run((void *const[]){gradient, moment, parameter, moment, parameter}, 0, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        assert_same_bits(moment[i], (start[i] + start[i]) * 0.5f, i);
        assert_same_bits(parameter[i], start[i] - moment[i], i);
    }
    release(gradient, COUNT), release(moment, COUNT), release(parameter, COUNT), release(start, COUNT);
    cpu_code_free(compiled.code);
    arena_free(arena);
}

static void equal_kernels_are_shared(void **state) {
    (void)state;
    Arena *arena = arena_create();
    KernelSet set = {.arena = arena};
    static const bool apart[] = {false, false, false}, meeting[] = {false, true, true};
    const TileProgram *add = binary(arena, OP_ADD, DTYPE_F32, DTYPE_F32, 37);
    assert_int_equal(kernel_set_add(&set, add, apart), 0);
    assert_int_equal(kernel_set_add(&set, binary(arena, OP_SUB, DTYPE_F32, DTYPE_F32, 37), apart), 1);
    assert_int_equal(kernel_set_add(&set, binary(arena, OP_ADD, DTYPE_F32, DTYPE_F32, 37), apart), 0);
    assert_int_equal(kernel_set_add(&set, add, meeting), 2);
    assert_int_equal(set.count, 3);
    arena_free(arena);
}

static void unknown_triples_are_reported(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Target target = target_default();
    snprintf(target.triple, sizeof(target.triple), "pdp11-unknown-none");
    CodegenReport report = {0};
    assert_null(cpu_code_create(NULL, 0, &target, &report, diags));
    assert_int_equal(diags_errors(diags), 1);
    arena_free(arena);
}

static void texts_on_request(void **state) {
    (void)state;
    Arena *arena = arena_create();
    static const bool apart[3] = {false};
    const TileProgram *program = binary(arena, OP_ADD, DTYPE_F32, DTYPE_F32, 37);
    CpuKernel kernel = {.program = program, .aliased = apart, .symbol = program->name};
    Text llvm = text_create(arena), assembly = text_create(arena);
    CodegenReport report = {.llvm = &llvm, .assembly = &assembly};
    Target target = target_default();
    CpuCode *code = cpu_code_create(&kernel, 1, &target, &report, diags_create(arena));
    assert_non_null(code);
    assert_non_null(strstr(text_string(&llvm), "define void @binary_add_f32(ptr"));
    assert_non_null(strstr(text_string(&assembly), "binary_add_f32:"));
    assert_null(strstr(text_string(&llvm), "fast "));
    cpu_code_free(code);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(reductions),
        cmocka_unit_test(long_epilogues),
        cmocka_unit_test(memory),
        cmocka_unit_test(random_numbers),
        cmocka_unit_test(pointwise),
        cmocka_unit_test(special_numbers),
        cmocka_unit_test(maximum_keeps_nans),
        cmocka_unit_test(updates_in_place),
        cmocka_unit_test(equal_kernels_are_shared),
        cmocka_unit_test(unknown_triples_are_reported),
        cmocka_unit_test(texts_on_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
