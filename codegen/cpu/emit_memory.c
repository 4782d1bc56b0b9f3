// Loads, stores and scatter-adds of one part.
//
// In: an operation with an affine index. Out: a scalar access, one 16-lane access (masked in the tail), or a gather:
//
//     [64 r + s]     s a lanes loop     contiguous: load <16 x float>
//     [64 r + 3]                        one number per row: load float
//     [65 s + r]     s a lanes loop     gather of 16 addresses, or, with r a rows loop of 16, 16 loads along r and a
//                                       transpose in registers
//
// Lanes that a mask leaves out are not touched in memory. Bool is one byte in memory, i1 in registers.
#include "codegen/cpu/emit.h"
#include "codegen/cpu/llvm_version.h"

// How lanes move with the address.
typedef enum { LANES_SAME, LANES_CONTIGUOUS, LANES_SCATTERED } LaneAccess;

static LaneAccess lane_access(const Address *address) {
    if (address->lane_terms != 0) return LANES_SCATTERED;
    if (address->lane_step == 0) return LANES_SAME;
    return address->lane_step == 1 ? LANES_CONTIGUOUS : LANES_SCATTERED;
}

// ---- masked accesses: LLVM 22 moved the alignment from an operand to an attribute of the pointer

static LLVMValueRef masked_call(CpuModule *module, const char *name, LLVMTypeRef vectors, LLVMValueRef pointer,
                                LLVMValueRef mask, LLVMValueRef stored, LLVMValueRef passed, unsigned alignment) {
    LLVMValueRef arguments[4];
    int count = 0, pointer_position = stored ? 1 : 0;
    if (stored) arguments[count++] = stored;
    arguments[count++] = pointer;
    if (LLVM_MASKED_HAS_ALIGNMENT_OPERAND) arguments[count++] = cpu_integer(module->i32, alignment);
    arguments[count++] = mask;
    if (passed) arguments[count++] = passed;
    LLVMTypeRef types[] = {vectors, LLVMTypeOf(pointer)};
    LLVMValueRef call = cpu_intrinsic(module, name, types, 2, arguments, count);
    if (!LLVM_MASKED_HAS_ALIGNMENT_OPERAND) {
        unsigned kind = LLVMGetEnumAttributeKindForName("align", 5);
        LLVMAddCallSiteAttribute(call, (LLVMAttributeIndex)(pointer_position + 1),
                                 LLVMCreateEnumAttribute(module->context, kind, alignment));
    }
    return call;
}

static LLVMValueRef all_lanes(CpuModule *module) {
    return LLVMConstAllOnes(cpu_vector(module->i1));
}

// ---- registers and memory

static LLVMValueRef to_register(CpuModule *module, DType dtype, LLVMValueRef value) {
    if (dtype != DTYPE_BOOL) return value;
    return LLVMBuildICmp(module->builder, LLVMIntNE, value, LLVMConstNull(LLVMTypeOf(value)), "");
}

static LLVMValueRef to_memory(CpuModule *module, DType dtype, LLVMValueRef value) {
    if (dtype != DTYPE_BOOL) return value;
    bool wide = LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMVectorTypeKind;
    return LLVMBuildZExt(module->builder, value, wide ? cpu_vector(module->i8) : module->i8, "");
}

// Pointer of the part's first lane.
static LLVMValueRef part_pointer(Emitter *emitter, uint32_t number, LLVMTypeRef element, LLVMValueRef buffer, int row,
                                 int vector) {
    CpuModule *module = emitter->module;
    Cell *cell = &emitter->cells[number];
    const Address *address = cell->address;
    if (!cell->pointer)
        cell->pointer = address->base
                            ? LLVMBuildGEP2(module->builder, element, buffer, &(LLVMValueRef){address->base}, 1, "")
                            : buffer;
    LLVMValueRef pointer = cell->pointer;
    for (int i = 0; i < address->row_terms; i++) {
        LLVMValueRef term = emit_part(emitter, address->rows[i].value, row, vector, false);
        term = LLVMBuildSExt(module->builder, term, module->i64, "");
        term = LLVMBuildMul(module->builder, term, cpu_integer(module->i64, address->rows[i].coefficient), "");
        pointer = LLVMBuildGEP2(module->builder, element, pointer, &term, 1, "");
    }
    int64_t displacement = address->constant + address->row_step * row + address->vector_step * vector;
    if (displacement == 0) return pointer;
    LLVMValueRef constant = cpu_integer(module->i64, displacement);
    return LLVMBuildGEP2(module->builder, element, pointer, &constant, 1, "");
}

// <16 x ptr>. Indices of 32 bits when the buffer allows it: half the registers, and what gather instructions take.
static LLVMValueRef lane_pointers(Emitter *emitter, uint32_t number, LLVMTypeRef element, LLVMValueRef buffer,
                                  int64_t elements, int row, int vector) {
    CpuModule *module = emitter->module;
    LLVMTypeRef type = elements <= INT32_MAX ? module->i32 : module->i64;
    LLVMValueRef index = emit_index_value(emitter, emitter->cells[number].address, row, vector, true, type);
    return LLVMBuildGEP2(module->builder, element, buffer, &index, 1, "");
}

// ---- loads

static LLVMValueRef load_part(Emitter *emitter, uint32_t number, LLVMValueRef buffer, int64_t elements, int row,
                              int vector) {
    CpuModule *module = emitter->module;
    const TileOp *op = emit_op_at(emitter, number);
    LLVMTypeRef element = cpu_memory_type(module, op->dtype), vectors = cpu_vector(element);
    unsigned alignment = (unsigned)dtype_bytes(op->dtype);
    bool wide = emit_shape(emitter, number) & SHAPE_LANES;
    LaneAccess access = lane_access(emitter->cells[number].address);
    LLVMValueRef mask = wide ? emit_mask(emitter, vector) : NULL, value;
    if (access == LANES_SCATTERED) {
        LLVMValueRef pointers = lane_pointers(emitter, number, element, buffer, elements, row, vector);
        value = masked_call(module, "llvm.masked.gather", vectors, pointers, mask ? mask : all_lanes(module), NULL,
                            LLVMConstNull(vectors), alignment);
    } else {
        LLVMValueRef pointer = part_pointer(emitter, number, element, buffer, row, vector);
        if (access == LANES_CONTIGUOUS && mask) {
            value = masked_call(module, "llvm.masked.load", vectors, pointer, mask, NULL, LLVMConstNull(vectors),
                                alignment);
        } else {
            value = LLVMBuildLoad2(module->builder, access == LANES_CONTIGUOUS ? vectors : element, pointer, "");
            LLVMSetAlignment(value, alignment);
        }
    }
    value = to_register(module, op->dtype, value);
    return wide && access == LANES_SAME ? cpu_splat(module, value) : value;
}

// ---- 16 rows by 16 lanes that lie along the rows: loaded lane by lane and transposed

static bool lies_along_rows(const Emitter *emitter, uint32_t number) {
    const Address *address = emitter->cells[number].address;
    return emitter->rows == TILE_LANES && emit_shape(emitter, number) == (SHAPE_ROWS | SHAPE_LANES) &&
           emit_op_at(emitter, number)->dtype != DTYPE_BOOL && address->row_terms == 0 && address->lane_terms == 0 &&
           address->row_step == 1 && address->lane_step > 1;
}

// Blocks of `size` off the diagonal change places, for size = 8, 4, 2, 1 (Eklundh, "A fast computer method for matrix
// transposing", 1972). Each step is one two-operand shuffle for every vector.
static void transpose(CpuModule *module, LLVMValueRef *vectors) {
    for (int size = TILE_LANES / 2; size > 0; size /= 2) {
        LLVMValueRef upper[TILE_LANES], lower[TILE_LANES];
        for (int k = 0; k < TILE_LANES; k++) {
            bool swapped = k & size;
            upper[k] = cpu_integer(module->i32, swapped ? TILE_LANES + k - size : k);
            lower[k] = cpu_integer(module->i32, swapped ? TILE_LANES + k : k + size);
        }
        LLVMValueRef upper_mask = LLVMConstVector(upper, TILE_LANES), lower_mask = LLVMConstVector(lower, TILE_LANES);
        for (int i = 0; i < TILE_LANES; i++) {
            if (i & size) continue;
            LLVMValueRef a = vectors[i], b = vectors[i + size];
            vectors[i] = LLVMBuildShuffleVector(module->builder, a, b, upper_mask, "");
            vectors[i + size] = LLVMBuildShuffleVector(module->builder, a, b, lower_mask, "");
        }
    }
}

static void load_transposed(Emitter *emitter, uint32_t number, int vector) {
    CpuModule *module = emitter->module;
    const TileOp *op = emit_op_at(emitter, number);
    const Address *address = emitter->cells[number].address;
    LLVMTypeRef element = cpu_memory_type(module, op->dtype), vectors = cpu_vector(element);
    bool is_last = vector == emitter->vectors - 1 && emitter->in_lanes;
    int lanes = is_last ? emitter->tail : TILE_LANES;
    LLVMValueRef parts[TILE_LANES];
    for (int lane = 0; lane < TILE_LANES; lane++) {
        parts[lane] = LLVMConstNull(vectors);
        if (lane >= lanes) continue;
        LLVMValueRef pointer = part_pointer(emitter, number, element, emitter->buffers[op->buffer], 0, vector);
        LLVMValueRef away = cpu_integer(module->i64, address->lane_step * lane);
        pointer = LLVMBuildGEP2(module->builder, element, pointer, &away, 1, "");
        parts[lane] = LLVMBuildLoad2(module->builder, vectors, pointer, "");
        LLVMSetAlignment(parts[lane], (unsigned)dtype_bytes(op->dtype));
    }
    transpose(module, parts);
    for (int row = 0; row < TILE_LANES; row++)
        emit_set_part(emitter, number, row, vector, parts[row]);
}

void emit_load(Emitter *emitter, uint32_t number, int row, int vector) {
    const TileOp *op = emit_op_at(emitter, number);
    if (row == 0 && lies_along_rows(emitter, number)) {
        load_transposed(emitter, number, vector);
        emitter->cells[number].turned = true;
    }
    if (emitter->cells[number].turned) return;
    LLVMValueRef value = load_part(emitter, number, emitter->buffers[op->buffer],
                                   emitter->program->buffers[op->buffer].elements, row, vector);
    emit_set_part(emitter, number, row, vector, value);
}

// A table becomes a constant of the module; each body that uses it finds it by its name.
static LLVMValueRef table_constant(Emitter *emitter, uint32_t number) {
    CpuModule *module = emitter->module;
    const TileOp *op = emit_op_at(emitter, number);
    const char *name = arena_format(emitter->arena, "%s.table%u", LLVMGetValueName(emitter->function), number);
    LLVMValueRef table = LLVMGetNamedGlobal(module->module, name);
    if (table) return table;
    LLVMTypeRef element = cpu_memory_type(module, op->dtype);
    LLVMValueRef *numbers = ARENA_ARRAY(emitter->arena, LLVMValueRef, (size_t)op->table_count);
    for (int64_t i = 0; i < op->table_count; i++)
        numbers[i] = cpu_constant(element, op->table[i]);
    LLVMValueRef values = LLVMConstArray2(element, numbers, (uint64_t)op->table_count);
    table = LLVMAddGlobal(module->module, LLVMTypeOf(values), name);
    LLVMSetInitializer(table, values);
    LLVMSetGlobalConstant(table, true);
    LLVMSetLinkage(table, LLVMInternalLinkage);
    LLVMSetAlignment(table, 64);
    return table;
}

void emit_table(Emitter *emitter, uint32_t number, int row, int vector) {
    const TileOp *op = emit_op_at(emitter, number);
    LLVMValueRef value = load_part(emitter, number, table_constant(emitter, number), op->table_count, row, vector);
    emit_set_part(emitter, number, row, vector, value);
}

// ---- stores

// Every part of the store begins at a multiple of a line.
static bool is_line_aligned(const Emitter *emitter, const TileOp *op) {
    if (op->index.constant % TILE_LANES != 0) return false;
    for (int i = 0; i < op->index.count; i++) {
        const TileOp *loop = emit_op_at(emitter, op->index.terms[i].value);
        bool is_lanes = loop->kind == TILE_LOOP && loop->loop == LOOP_LANES && loop->pieces == 0;
        if (!is_lanes && op->index.terms[i].coefficient % TILE_LANES != 0) return false;
    }
    return true;
}

// Past the caches. The fence at the kernel's end puts it before what other threads read behind the next barrier.
static void pass_caches(CpuModule *module, LLVMValueRef store) {
    LLVMValueRef one = cpu_integer(module->i32, 1);
    LLVMValueRef node = LLVMMetadataAsValue(
        module->context, LLVMMDNodeInContext2(module->context, (LLVMMetadataRef[]){LLVMValueAsMetadata(one)}, 1));
    LLVMSetMetadata(store, LLVMGetMDKindIDInContext(module->context, "nontemporal", 11), node);
    LLVMSetAlignment(store, 64);
}

void emit_store(Emitter *emitter, uint32_t number, int row, int vector) {
    CpuModule *module = emitter->module;
    const TileOp *op = emit_op_at(emitter, number);
    const TileBuffer *buffer = &emitter->program->buffers[op->buffer];
    LLVMTypeRef element = cpu_memory_type(module, buffer->dtype);
    unsigned alignment = (unsigned)dtype_bytes(buffer->dtype);
    LaneAccess access = lane_access(emitter->cells[number].address);
    bool wide = access != LANES_SAME;
    LLVMValueRef mask = wide ? emit_mask(emitter, vector) : NULL;
    // Lanes that all go to one address hold one number.
    CHECK(wide || !(emit_shape(emitter, op->operands[0]) & SHAPE_LANES));
    LLVMValueRef value = to_memory(module, buffer->dtype, emit_part(emitter, op->operands[0], row, vector, wide));
    if (access == LANES_SCATTERED) {
        LLVMValueRef pointers =
            lane_pointers(emitter, number, element, emitter->buffers[op->buffer], buffer->elements, row, vector);
        masked_call(module, "llvm.masked.scatter", cpu_vector(element), pointers, mask ? mask : all_lanes(module),
                    value, NULL, alignment);
        return;
    }
    LLVMValueRef pointer = part_pointer(emitter, number, element, emitter->buffers[op->buffer], row, vector);
    if (mask) {
        masked_call(module, "llvm.masked.store", cpu_vector(element), pointer, mask, value, NULL, alignment);
        return;
    }
    LLVMValueRef store = LLVMBuildStore(module->builder, value, pointer);
    LLVMSetAlignment(store, alignment);
    bool whole_lines = access == LANES_CONTIGUOUS && buffer->dtype == DTYPE_F32 && is_line_aligned(emitter, op);
    if (buffer->far && whole_lines) pass_caches(module, store);
}

// One line for each part: 16 lanes of f32 are a line of 64 bytes. Kept in all cache levels.
void emit_prefetch(Emitter *emitter, uint32_t number, int row, int vector) {
    CpuModule *module = emitter->module;
    const TileOp *op = emit_op_at(emitter, number);
    LLVMTypeRef element = cpu_memory_type(module, emitter->program->buffers[op->buffer].dtype);
    LLVMValueRef pointer = part_pointer(emitter, number, element, emitter->buffers[op->buffer], row, vector);
    LLVMValueRef read = cpu_integer(module->i32, 0), all_levels = cpu_integer(module->i32, 3),
                 data = cpu_integer(module->i32, 1);
    LLVMTypeRef types[] = {LLVMTypeOf(pointer)};
    cpu_intrinsic(module, "llvm.prefetch", types, 1, (LLVMValueRef[]){pointer, read, all_levels, data}, 4);
}

// ---- scatter-add: element after element, since lanes may meet in one address

// The first lanes of a vector, which is no line of its own: the others are not touched.
static void add_masked(Emitter *emitter, LLVMValueRef pointer, LLVMValueRef mask, LLVMValueRef value,
                       unsigned alignment) {
    CpuModule *module = emitter->module;
    LLVMTypeRef type = LLVMTypeOf(value);
    LLVMValueRef old =
        masked_call(module, "llvm.masked.load", type, pointer, mask, NULL, LLVMConstNull(type), alignment);
    LLVMValueRef sum = emit_combine(module, OP_SUM, old, value);
    masked_call(module, "llvm.masked.store", type, pointer, mask, sum, NULL, alignment);
}

static void add_to(Emitter *emitter, LLVMTypeRef type, LLVMValueRef pointer, LLVMValueRef value, unsigned alignment) {
    CpuModule *module = emitter->module;
    LLVMValueRef old = LLVMBuildLoad2(module->builder, type, pointer, "");
    LLVMSetAlignment(old, alignment);
    LLVMSetAlignment(LLVMBuildStore(module->builder, emit_combine(module, OP_SUM, old, value), pointer), alignment);
}

void emit_scatter_add(Emitter *emitter, uint32_t number, int row, int vector) {
    CpuModule *module = emitter->module;
    const TileOp *op = emit_op_at(emitter, number);
    const TileBuffer *buffer = &emitter->program->buffers[op->buffer];
    LLVMValueRef memory = emitter->buffers[op->buffer];
    CHECK(buffer->dtype == DTYPE_F32 || buffer->dtype == DTYPE_I32);
    LLVMTypeRef element = cpu_type(module, buffer->dtype);
    unsigned alignment = (unsigned)dtype_bytes(buffer->dtype);
    bool wide = emit_shape(emitter, number) & SHAPE_LANES;
    int lanes = wide && vector == emitter->vectors - 1 && emitter->in_lanes ? emitter->tail : TILE_LANES;
    LLVMValueRef value = emit_part(emitter, op->operands[0], row, vector, wide);
    LaneAccess access = lane_access(emitter->cells[number].address);
    if (!wide || (access == LANES_CONTIGUOUS && lanes == TILE_LANES)) {
        LLVMValueRef pointer = part_pointer(emitter, number, element, memory, row, vector);
        add_to(emitter, LLVMTypeOf(value), pointer, value, alignment);
        return;
    }
    if (access == LANES_CONTIGUOUS) {
        LLVMValueRef pointer = part_pointer(emitter, number, element, memory, row, vector);
        add_masked(emitter, pointer, emit_mask(emitter, vector), value, alignment);
        return;
    }
    LLVMValueRef pointers = NULL, pointer = NULL;
    if (access == LANES_SAME)
        pointer = part_pointer(emitter, number, element, memory, row, vector);
    else
        pointers = lane_pointers(emitter, number, element, memory, buffer->elements, row, vector);
    for (int lane = 0; lane < lanes; lane++) {
        LLVMValueRef position = cpu_integer(module->i32, lane);
        if (pointers) pointer = LLVMBuildExtractElement(module->builder, pointers, position, "");
        add_to(emitter, element, pointer, LLVMBuildExtractElement(module->builder, value, position, ""), alignment);
    }
}
