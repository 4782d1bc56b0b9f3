// launch 0, softmax p: row_softmax_889bcb8726c54040, 10 blocks of 32 threads

KERNEL(row_softmax_889bcb8726c54040, 32)(const float *RESTRICT b0, float *RESTRICT b1) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    const int works = 20;
    ROLLED
    for (int work = WORKER; work < works; work += WORKERS) {
        const int B_2 = work / 5;
        const int T_3 = work % 5;
        float v4 = -INFINITE;
        for (int S_5 = 0; S_5 < 20; S_5 += 32) {
            UNROLL
            for (int v = 0; v < 2; v++) {
                const int S_5i = S_5 + 16 * v + lane;
                if (S_5i < 20) {
                    const bool v6 = S_5i <= T_3;
                    const float v7 = b0[100*B_2 + 20*T_3 + S_5i];
                    const float v8 = v6 ? v7 : -INFINITE;
                    v4 = float_maximum(v4, v8);
                }
            }
        }
        float v11;
        v11 = reduce_max(v4);
        float v12 = 0.0f;
        for (int S_13 = 0; S_13 < 20; S_13 += 32) {
            UNROLL
            for (int v = 0; v < 2; v++) {
                const int S_13i = S_13 + 16 * v + lane;
                if (S_13i < 20) {
                    const bool v14 = S_13i <= T_3;
                    const float v15 = b0[100*B_2 + 20*T_3 + S_13i];
                    const float v16 = v14 ? v15 : -INFINITE;
                    const float v17 = v16 - v11;
                    const float v18 = float_exp(v17);
                    v12 = v12 + v18;
                }
            }
        }
        float v21;
        v21 = reduce_sum(v12);
        const float v22 = float_log(v21);
        const float v23 = v11 + v22;
        const float v24 = fabsf(v11);
        const bool v25 = v24 == INFINITE;
        const float v26 = v25 ? v24 : v23;
        for (int S_27 = 0; S_27 < 20; S_27 += 32) {
            float v32[2];
            UNROLL
            for (int v = 0; v < 2; v++) {
                const int S_27i = S_27 + 16 * v + lane;
                if (S_27i < 20) {
                    const bool v28 = S_27i <= T_3;
                    const float v29 = b0[100*B_2 + 20*T_3 + S_27i];
                    const float v30 = v28 ? v29 : -INFINITE;
                    const float v31 = v30 - v26;
                    v32[v] = float_exp(v31);
                }
            }
            UNROLL
            for (int v = 0; v < 2; v++) {
                const int S_27i = S_27 + 16 * v + lane;
                if (S_27i < 20) {
                    b1[100*B_2 + 20*T_3 + S_27i] = v32[v];
                }
            }
        }
    }
}
