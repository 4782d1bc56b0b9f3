// launch 0, sum y: row_sum_76e64dc9e4ca9573, 1 blocks of 32 threads

KERNEL(row_sum_76e64dc9e4ca9573, 32)(const float *RESTRICT b0, float *RESTRICT b1) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    ROLLED
    for (int work = WORKER; work < 2; work += WORKERS) {
        const int C_0 = 16 * work;
        const int C_0i = C_0 + lane;
        float v1[16];
        UNROLL
        for (int r = 0; r < 16; r++) {
            v1[r] = 0.0f;
        }
        ROLLED
        for (int B_2 = 0; B_2 < 4; B_2 += 1) {
            for (int T_3 = 0; T_3 < 9; T_3 += 9) {
                UNROLL
                for (int r = 0; r < 9; r++) {
                    const int T_3i = T_3 + r;
                    if (C_0i < 24) {
                        const float v4 = b0[C_0i + 216*B_2 + 24*T_3i];
                        v1[r] = v1[r] + v4;
                    }
                }
            }
        }
        float v8;
        UNROLL
        for (int r = 0; r < 8; r++) v1[r] = v1[r] + v1[r + 8];
        UNROLL
        for (int r = 0; r < 4; r++) v1[r] = v1[r] + v1[r + 4];
        UNROLL
        for (int r = 0; r < 2; r++) v1[r] = v1[r] + v1[r + 2];
        UNROLL
        for (int r = 0; r < 1; r++) v1[r] = v1[r] + v1[r + 1];
        v8 = v1[0];
        if (C_0i < 24) {
            b1[C_0i] = v8;
        }
    }
}
