// The cases that check each derivative: operand shapes, how they are filled, and attributes. One list per row of
// ir/ops.def, named cases_<op>; an op without a list does not compile. NOT_DIFFERENTIABLE says that there is nothing to
// check: sources, and ops whose result is an integer or a bool.
//
// Extents (tests/reference/letters.h): A=1 B=2 C=3 D=5 E=3 F=6 G=7 H=4 M=5.
#ifndef SINTER_TESTS_DERIVE_CASES_H
#define SINTER_TESTS_DERIVE_CASES_H

typedef enum {
    SMOOTH,   // -1.5 .. 1.5
    POSITIVE, // 0.3 .. 2.3
    TIES,     // whole numbers, many of them equal
    PAIRS,    // whole numbers, each twice in a row
    MASKED,   // where(mask, SMOOTH, -inf)
    EMPTY     // MASKED, and nothing at all left where the first dim is 0
} Fill;

typedef struct {
    Fill fill;
    const char *operands[3]; // dims of each; STACK: as many operands as there are strings
    char from, to, inner;    // moves, gather, scatter
    int integer;             // SELECT
    const char *set;         // reduced dims, or the result of SCATTER
} Case;

#define ON(fill_, ...) .fill = fill_, .operands = {__VA_ARGS__}
// clang-format off
#define NOT_DIFFERENTIABLE {{ON(SMOOTH, NULL)}}
#define UNARY_SHAPES(fill)                                                                                             \
    {ON(fill, "")}, {ON(fill, "A")}, {ON(fill, "C")}, {ON(fill, "G")}, {ON(fill, "BC")}, {ON(fill, "CAB")},            \
        {ON(fill, "DA")}
#define BINARY_SHAPES(fill)                                                                                            \
    {ON(fill, "", "")}, {ON(fill, "A", "A")}, {ON(fill, "C", "C")}, {ON(fill, "BC", "CB")}, {ON(fill, "BC", "")},      \
        {ON(fill, "", "BC")}, {ON(fill, "BC", "C")}, {ON(fill, "B", "BC")}, {ON(fill, "B", "C")},                      \
        {ON(fill, "BD", "CD")}, {ON(fill, "AC", "A")}, {ON(fill, "A", "D")}, {ON(fill, "BAC", "DC")}
#define REDUCE_SHAPES(fill)                                                                                            \
    {ON(fill, "A"), .set = "A"}, {ON(fill, "C"), .set = "C"}, {ON(fill, "BC"), .set = "C"},                            \
        {ON(fill, "BC"), .set = "B"}, {ON(fill, "BC"), .set = "BC"}, {ON(fill, "ABD"), .set = "D"},                    \
        {ON(fill, "BDA"), .set = "A"}, {ON(fill, "BDC"), .set = "BC"}, {ON(fill, "CG"), .set = "G"},                   \
        {ON(fill, "BAG"), .set = "AG"}
// clang-format on

static const Case cases_input[] = NOT_DIFFERENTIABLE;
static const Case cases_param[] = NOT_DIFFERENTIABLE; // the leaf of every case here
static const Case cases_state[] = NOT_DIFFERENTIABLE;
static const Case cases_operand[] = NOT_DIFFERENTIABLE;
static const Case cases_const[] = NOT_DIFFERENTIABLE;
static const Case cases_index[] = NOT_DIFFERENTIABLE;
static const Case cases_random[] = NOT_DIFFERENTIABLE;

static const Case cases_add[] = {BINARY_SHAPES(SMOOTH)};
static const Case cases_sub[] = {BINARY_SHAPES(SMOOTH)};
static const Case cases_mul[] = {BINARY_SHAPES(SMOOTH), BINARY_SHAPES(TIES)};
static const Case cases_div[] = {BINARY_SHAPES(POSITIVE)};
static const Case cases_neg[] = {UNARY_SHAPES(SMOOTH)};
static const Case cases_exp[] = {UNARY_SHAPES(SMOOTH), {ON(MASKED, "BC")}, {ON(EMPTY, "BC")}};
static const Case cases_log[] = {UNARY_SHAPES(POSITIVE)};
static const Case cases_sqrt[] = {UNARY_SHAPES(POSITIVE)};
static const Case cases_rsqrt[] = {UNARY_SHAPES(POSITIVE)};
static const Case cases_tanh[] = {UNARY_SHAPES(SMOOTH), UNARY_SHAPES(TIES)};
static const Case cases_erf[] = {UNARY_SHAPES(SMOOTH), UNARY_SHAPES(TIES)};
static const Case cases_sin[] = {UNARY_SHAPES(SMOOTH)};
static const Case cases_cos[] = {UNARY_SHAPES(SMOOTH)};
static const Case cases_abs[] = {UNARY_SHAPES(SMOOTH), UNARY_SHAPES(TIES)};
static const Case cases_maximum[] = {BINARY_SHAPES(SMOOTH), BINARY_SHAPES(TIES)};
static const Case cases_minimum[] = {BINARY_SHAPES(SMOOTH), BINARY_SHAPES(TIES)};
static const Case cases_lt[] = NOT_DIFFERENTIABLE;
static const Case cases_le[] = NOT_DIFFERENTIABLE;
static const Case cases_eq[] = NOT_DIFFERENTIABLE;
static const Case cases_and[] = NOT_DIFFERENTIABLE;
static const Case cases_or[] = NOT_DIFFERENTIABLE;
static const Case cases_not[] = NOT_DIFFERENTIABLE;
static const Case cases_to_float[] = NOT_DIFFERENTIABLE;

// Operand 0 is the mask.
static const Case cases_where[] = {
    {ON(SMOOTH, "", "", "")},    {ON(SMOOTH, "C", "C", "C")},  {ON(SMOOTH, "BC", "", "")},
    {ON(SMOOTH, "", "BC", "")},  {ON(SMOOTH, "B", "C", "BC")}, {ON(SMOOTH, "C", "CB", "B")},
    {ON(SMOOTH, "A", "A", "")},  {ON(SMOOTH, "B", "C", "D")},  {ON(SMOOTH, "G", "G", "AG")},
    {ON(TIES, "BD", "D", "BD")}, {ON(TIES, "CAB", "C", "B")},
};

static const Case cases_sum[] = {REDUCE_SHAPES(SMOOTH)};
static const Case cases_max[] = {
    REDUCE_SHAPES(SMOOTH),         REDUCE_SHAPES(MASKED),         REDUCE_SHAPES(EMPTY),
    {ON(PAIRS, "A"), .set = "A"},  {ON(PAIRS, "H"), .set = "H"},  {ON(PAIRS, "BH"), .set = "H"},
    {ON(PAIRS, "CG"), .set = "G"}, {ON(PAIRS, "DF"), .set = "F"}, {ON(PAIRS, "BC"), .set = "BC"},
};
static const Case cases_lse[] = {REDUCE_SHAPES(SMOOTH), REDUCE_SHAPES(TIES), REDUCE_SHAPES(MASKED),
                                 REDUCE_SHAPES(EMPTY)};

static const Case cases_contract[] = {
    {ON(SMOOTH, "BC", "CD"), .set = "C"},    {ON(SMOOTH, "BC", "DC"), .set = "C"},
    {ON(SMOOTH, "CB", "CD"), .set = "C"},    {ON(SMOOTH, "AC", "CB"), .set = "C"},
    {ON(SMOOTH, "BA", "AC"), .set = "A"},    {ON(SMOOTH, "BGA", "CG"), .set = "G"},
    {ON(SMOOTH, "HBC", "HDC"), .set = "C"},  {ON(SMOOTH, "BHC", "DHC"), .set = "C"},
    {ON(SMOOTH, "BCD", "DCE"), .set = "CD"}, {ON(SMOOTH, "BCD", "CE"), .set = "C"},
    {ON(SMOOTH, "CD", "DBE"), .set = "D"},   {ON(SMOOTH, "HBCD", "HECD"), .set = "CD"},
    {ON(SMOOTH, "BHC", "HCA"), .set = "C"},  {ON(TIES, "BC", "CD"), .set = "C"},
    {ON(TIES, "GC", "BC"), .set = "C"},      {ON(POSITIVE, "DA", "AB"), .set = "A"},
    {ON(SMOOTH, "HGB", "CHG"), .set = "G"},  {ON(SMOOTH, "HGB", "CHG"), .set = "HG"},
    {ON(SMOOTH, "ABC", "CAD"), .set = "C"},  {ON(SMOOTH, "DGH", "HBG"), .set = "HG"},
    {ON(POSITIVE, "GC", "CA"), .set = "C"},
};

static const Case cases_rename[] = {
    {ON(SMOOTH, "C"), .from = 'C', .to = 'E'},
    {ON(SMOOTH, "BC"), .from = 'C', .to = 'E'},
    {ON(SMOOTH, "DAB"), .from = 'D', .to = 'M'},
    {ON(TIES, "EGB"), .from = 'E', .to = 'C'},
};
static const Case cases_prefix[] = {
    {ON(SMOOTH, "D"), .from = 'D', .to = 'C'},
    {ON(SMOOTH, "DB"), .from = 'D', .to = 'A'},
    {ON(SMOOTH, "BGC"), .from = 'G', .to = 'D'},
    {ON(SMOOTH, "AGB"), .from = 'G', .to = 'F'},
};
static const Case cases_pad[] = {
    {ON(SMOOTH, "C"), .from = 'C', .to = 'D'},
    {ON(SMOOTH, "AB"), .from = 'A', .to = 'G'},
    {ON(SMOOTH, "BCH"), .from = 'C', .to = 'F'},
    {ON(SMOOTH, "DAB"), .from = 'B', .to = 'C'},
};
static const Case cases_select[] = {
    {ON(SMOOTH, "C"), .from = 'C', .integer = 0},
    {ON(SMOOTH, "BC"), .from = 'C', .integer = 2},
    {ON(SMOOTH, "BC"), .from = 'B', .integer = 1},
    {ON(SMOOTH, "AD"), .from = 'A', .integer = 0},
    {ON(SMOOTH, "CAD"), .from = 'D', .integer = 4},
    {ON(SMOOTH, "GB"), .from = 'G', .integer = 6}, // one of seven: placed by index, not stacked
    {ON(SMOOTH, "BGAD"), .from = 'G', .integer = 3},
};
static const Case cases_stack[] = {
    {ON(SMOOTH, "C"), .to = 'A'},        {ON(SMOOTH, "C", "C"), .to = 'B'},
    {ON(SMOOTH, "", "D"), .to = 'B'},    {ON(SMOOTH, "D", "BD", "B"), .to = 'C'},
    {ON(SMOOTH, "", "", ""), .to = 'E'},
};
static const Case cases_split[] = {
    {ON(SMOOTH, "F"), .from = 'F', .to = 'B', .inner = 'C'},
    {ON(SMOOTH, "DF"), .from = 'F', .to = 'C', .inner = 'B'},
    {ON(SMOOTH, "DH"), .from = 'D', .to = 'A', .inner = 'M'},
    {ON(SMOOTH, "DH"), .from = 'D', .to = 'M', .inner = 'A'},
};
static const Case cases_merge[] = {
    {ON(SMOOTH, "BC"), .from = 'B', .to = 'F', .inner = 'C'},
    {ON(SMOOTH, "BC"), .from = 'C', .to = 'F', .inner = 'B'},
    {ON(SMOOTH, "CDB"), .from = 'B', .to = 'F', .inner = 'C'},
    {ON(SMOOTH, "DHA"), .from = 'A', .to = 'M', .inner = 'D'},
    {ON(SMOOTH, "GBCD"), .from = 'B', .to = 'F', .inner = 'C'},
};

// Operand 1 is the index.
static const Case cases_gather[] = {
    {ON(SMOOTH, "C", ""), .from = 'C'},     {ON(SMOOTH, "C", "D"), .from = 'C'},
    {ON(SMOOTH, "CB", "D"), .from = 'C'},   {ON(SMOOTH, "CB", "B"), .from = 'C'},
    {ON(SMOOTH, "GB", "AD"), .from = 'G'},  {ON(SMOOTH, "AB", "D"), .from = 'A'},
    {ON(SMOOTH, "BGD", "DB"), .from = 'G'}, {ON(SMOOTH, "GD", "BC"), .from = 'G'},
    {ON(SMOOTH, "BGD", "HB"), .from = 'G'}, {ON(SMOOTH, "D", "ABC"), .from = 'D'},
};
static const Case cases_scatter[] = {
    {ON(SMOOTH, "", ""), .to = 'C', .set = "C"},      {ON(SMOOTH, "D", "D"), .to = 'C', .set = "C"},
    {ON(SMOOTH, "DB", "D"), .to = 'C', .set = "CB"},  {ON(SMOOTH, "DB", "D"), .to = 'C', .set = "C"},
    {ON(SMOOTH, "DB", "DB"), .to = 'C', .set = "BC"}, {ON(SMOOTH, "", "D"), .to = 'C', .set = "C"},
    {ON(SMOOTH, "B", "D"), .to = 'C', .set = "CB"},   {ON(SMOOTH, "B", "DB"), .to = 'A', .set = "AD"},
    {ON(SMOOTH, "BC", "B"), .to = 'G', .set = "CG"},  {ON(SMOOTH, "HC", "BH"), .to = 'G', .set = "GBC"},
};
static const Case cases_scatter_onto[] = {
    {ON(SMOOTH, "", "", "C"), .to = 'C', .set = "C"},      {ON(SMOOTH, "D", "D", "C"), .to = 'C', .set = "C"},
    {ON(SMOOTH, "DB", "D", "CB"), .to = 'C', .set = "CB"}, {ON(SMOOTH, "DB", "D", "C"), .to = 'C', .set = "C"},
    {ON(SMOOTH, "DB", "DB", "BC"), .to = 'C', .set = "BC"}, {ON(SMOOTH, "", "D", "C"), .to = 'C', .set = "C"},
    {ON(SMOOTH, "B", "D", "BC"), .to = 'C', .set = "CB"},  {ON(SMOOTH, "B", "DB", "DA"), .to = 'A', .set = "AD"},
    {ON(SMOOTH, "BC", "B", "GC"), .to = 'G', .set = "CG"}, {ON(SMOOTH, "HC", "BH", "CBG"), .to = 'G', .set = "GBC"},
};

// Operand 0 is stopped and multiplied with operand 1, which has a gradient.
static const Case cases_stop_gradient[] = {BINARY_SHAPES(SMOOTH), BINARY_SHAPES(TIES)};

#endif
