// launch 0, product y: product_product_35d953a2ed31444b, 3 blocks of 32 threads

KERNEL(product_product_35d953a2ed31444b, 32)(const float *RESTRICT b0, const float *RESTRICT b1, float *RESTRICT b2) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    ROLLED
    for (int work = WORKER; work < 5; work += WORKERS) {
        const int BT_0 = 8 * work;
        const int rows_0 = int_minimum(8, 36 - BT_0);
        const int F_1 = 0;
        float v2[8][2];
        UNROLL
        for (int r = 0; r < 8; r++) {
            UNROLL
            for (int v = 0; v < 2; v++) {
                v2[r][v] = 0.0f;
            }
        }
        for (int C_3 = 0; C_3 < 24; C_3 += 1) {
            float v5[2];
            UNROLL
            for (int v = 0; v < 2; v++) {
                const int F_1i = F_1 + 16 * v + lane;
                v5[v] = b1[24*F_1i + C_3];
            }
            UNROLL
            for (int r = 0; r < 8; r++) {
                const int BT_0i = BT_0 + r;
                if (r < rows_0) {
                    const float v4 = b0[24*BT_0i + C_3];
                    UNROLL
                    for (int v = 0; v < 2; v++) {
                        v2[r][v] = fmaf(v4, v5[v], v2[r][v]);
                    }
                }
            }
        }
        UNROLL
        for (int r = 0; r < 8; r++) {
            const int BT_0i = BT_0 + r;
            if (r < rows_0) {
                UNROLL
                for (int v = 0; v < 2; v++) {
                    const int F_1i = F_1 + 16 * v + lane;
                    b2[40*BT_0i + F_1i] = v2[r][v];
                }
            }
        }
    }
    ROLLED
    for (int work = WORKER; work < 5; work += WORKERS) {
        const int BT_11 = 8 * work;
        const int rows_11 = int_minimum(8, 36 - BT_11);
        const int F_12 = 0;
        const int F_12i = F_12 + lane;
        float v13[8];
        UNROLL
        for (int r = 0; r < 8; r++) {
            v13[r] = 0.0f;
        }
        for (int C_14 = 0; C_14 < 24; C_14 += 1) {
            float v16;
            if (F_12i < 8) {
                v16 = b1[24*F_12i + C_14 + 768];
            }
            UNROLL
            for (int r = 0; r < 8; r++) {
                const int BT_11i = BT_11 + r;
                if (r < rows_11) {
                    const float v15 = b0[24*BT_11i + C_14];
                    if (F_12i < 8) {
                        v13[r] = fmaf(v15, v16, v13[r]);
                    }
                }
            }
        }
        UNROLL
        for (int r = 0; r < 8; r++) {
            const int BT_11i = BT_11 + r;
            if (r < rows_11) {
                if (F_12i < 8) {
                    b2[40*BT_11i + F_12i + 32] = v13[r];
                }
            }
        }
    }
}
