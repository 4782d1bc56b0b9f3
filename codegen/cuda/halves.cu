
// ---- fragments of 16 rows (or two times 8 lanes) and 16 summed indices, of factors of 16 bits: stands twice behind
// tensor.cu, with HALF(name) name_bf16 and name_f16

// ---- out of panels of f32: rounded on their way

INLINE Halves HALF(pair_by_rows)(const unsigned char *panel, int row, int depth) {
    const float2 both = *(const float2 *)(panel + PAIRS_BY_ROWS(row, depth >> 2) + 4 * (depth & 3));
    return HALF(round)(both.x, both.y);
}

INLINE void HALF(rows_by_rows_f32)(Halves *a, const unsigned char *panel, int row, int part) {
    int first = row + (WARP_LANE >> 2), depth = 16 * part + 2 * (WARP_LANE & 3);
    UNROLL
    for (int i = 0; i < 4; i++) a[i] = HALF(pair_by_rows)(panel, first + 8 * (i & 1), depth + 8 * (i >> 1));
}

INLINE void HALF(lanes_by_rows_f32)(Halves *b, const unsigned char *panel, int row, int part) {
    int first = row + (WARP_LANE >> 2), depth = 16 * part + 2 * (WARP_LANE & 3);
    UNROLL
    for (int i = 0; i < 4; i++) b[i] = HALF(pair_by_rows)(panel, first + 8 * (i >> 1), depth + 8 * (i & 1));
}

INLINE Halves HALF(pair_by_depth)(const unsigned char *panel, int pitch, int row, int line) {
    return HALF(round)(factor_by_depth(panel, pitch, row, line), factor_by_depth(panel, pitch, row, line + 1));
}

INLINE void HALF(rows_by_depth_f32)(Halves *a, const unsigned char *panel, int pitch, int row, int part) {
    int first = row + (WARP_LANE >> 2), line = 16 * part + 2 * (WARP_LANE & 3);
    UNROLL
    for (int i = 0; i < 4; i++) a[i] = HALF(pair_by_depth)(panel, pitch, first + 8 * (i & 1), line + 8 * (i >> 1));
}

INLINE void HALF(lanes_by_depth_f32)(Halves *b, const unsigned char *panel, int pitch, int row, int part) {
    int first = row + (WARP_LANE >> 2), line = 16 * part + 2 * (WARP_LANE & 3);
    UNROLL
    for (int i = 0; i < 4; i++) b[i] = HALF(pair_by_depth)(panel, pitch, first + 8 * (i >> 1), line + 8 * (i & 1));
}

// ---- out of panels of such factors, as they are

INLINE void HALF(load_halves)(Halves *to, const unsigned char *line) {
    unsigned words[4];
    load_matrices(words, line);
    UNROLL
    for (int i = 0; i < 4; i++) to[i] = HALF(halves)(words[i]);
}

INLINE void HALF(load_halves_turned)(Halves *to, const unsigned char *line) {
    unsigned words[4];
    load_matrices_turned(words, line);
    UNROLL
    for (int i = 0; i < 4; i++) to[i] = HALF(halves)(words[i]);
}

INLINE void HALF(rows_by_rows)(Halves *a, const unsigned char *panel, int pitch, int row, int part) {
    int line = row + (WARP_LANE & 15), piece = 2 * part + (WARP_LANE >> 4);
    HALF(load_halves)(a, panel + PLACE_OF_HALVES(line, piece, pitch));
}

INLINE void HALF(lanes_by_rows)(Halves *b, const unsigned char *panel, int pitch, int row, int part) {
    int line = row + (WARP_LANE & 7) + 8 * (WARP_LANE >> 4), piece = 2 * part + (WARP_LANE >> 3 & 1);
    HALF(load_halves)(b, panel + PLACE_OF_HALVES(line, piece, pitch));
}

INLINE void HALF(rows_by_depth)(Halves *a, const unsigned char *panel, int pitch, int row, int part) {
    int line = 16 * part + (WARP_LANE & 7) + 8 * (WARP_LANE >> 4), piece = (row >> 3) + (WARP_LANE >> 3 & 1);
    HALF(load_halves_turned)(a, panel + PLACE_OF_HALVES(line, piece, pitch));
}

INLINE void HALF(lanes_by_depth)(Halves *b, const unsigned char *panel, int pitch, int row, int part) {
    int line = 16 * part + (WARP_LANE & 15), piece = (row >> 3) + (WARP_LANE >> 4);
    HALF(load_halves_turned)(b, panel + PLACE_OF_HALVES(line, piece, pitch));
}

// ---- rows that lie in a chain's shared memory

INLINE void HALF(placed_rows)(Halves *a, const unsigned char *lines, int pitch, int row, int part) {
    HALF(load_halves)(a, lines + (row + (WARP_LANE & 15)) * pitch + 16 * (2 * part + (WARP_LANE >> 4)));
}

INLINE void HALF(placed_columns)(Halves *a, const unsigned char *lines, int pitch, int row, int part) {
    int line = 16 * part + (WARP_LANE & 7) + 8 * (WARP_LANE >> 4), piece = (row >> 3) + (WARP_LANE >> 3 & 1);
    HALF(load_halves_turned)(a, lines + line * pitch + 16 * piece);
}

INLINE void HALF(placed_rows_f32)(Halves *a, const unsigned char *lines, int pitch, int row, int part) {
    const unsigned char *first = lines + (row + (WARP_LANE >> 2)) * pitch + 4 * (16 * part + 2 * (WARP_LANE & 3));
    UNROLL
    for (int i = 0; i < 4; i++) {
        const float2 both = *(const float2 *)(first + 8 * (i & 1) * pitch + 32 * (i >> 1));
        a[i] = HALF(round)(both.x, both.y);
    }
}

INLINE void HALF(placed_columns_f32)(Halves *a, const unsigned char *lines, int pitch, int row, int part) {
    const unsigned char *first = lines + (16 * part + 2 * (WARP_LANE & 3)) * pitch + 4 * (row + (WARP_LANE >> 2));
    UNROLL
    for (int i = 0; i < 4; i++) {
        const unsigned char *upper = first + 8 * (i >> 1) * pitch + 32 * (i & 1);
        a[i] = HALF(round)(*(const float *)upper, *(const float *)(upper + pitch));
    }
}

// Zeros for a row's elements (of the thread's upper or lower row) whose summed indices are not from `begin` to `end`.
INLINE void HALF(keep)(Halves *a, int lower, int begin, int end, int part) {
    UNROLL
    for (int i = 0; i < 2; i++) {
        const int depth = 16 * part + 8 * i + 2 * (WARP_LANE & 3);
        a[2 * i + lower] = halves_kept(a[2 * i + lower], depth >= begin && depth < end,
                                       depth + 1 >= begin && depth + 1 < end);
    }
}

// ---- rows that a product has left in registers, before exchange_four: of 16 lanes, which are summed indices now

INLINE void HALF(rows_of_sums)(Halves *a, const float *upper, const float *lower) {
    a[0] = HALF(round)(upper[0], upper[1]);
    a[1] = HALF(round)(lower[0], lower[1]);
    a[2] = HALF(round)(upper[2], upper[3]);
    a[3] = HALF(round)(lower[2], lower[3]);
}
