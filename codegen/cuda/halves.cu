
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
