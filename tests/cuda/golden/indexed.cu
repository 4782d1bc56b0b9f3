// launch 0, gather x: map_gather_e15cb64960ba8e71, 36 blocks of 32 threads
// launch 1, scatter g: row_scatter_d53d86c3ae097179, 132 blocks of 32 threads after 0

KERNEL(map_gather_e15cb64960ba8e71, 32)(const int *RESTRICT b0, const float *RESTRICT b1, float *RESTRICT b2) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    const int works = 72;
    ROLLED
    for (int work = WORKER; work < works; work += WORKERS) {
        const int B_3 = work / 18;
        const int T_4 = work / 2 % 9;
        const int v5 = b0[9*B_3 + T_4];
        const int v6 = int_maximum(v5, 0);
        const int v7 = int_minimum(v6, 10);
        const bool v8 = v7 == v5;
        const int C_9 = 16 * (work % 2);
        const int C_9i = C_9 + lane;
        if (C_9i < 24) {
            const float v10 = b1[24*v7 + C_9i];
            const float v11 = v8 ? v10 : NOT_A_NUMBER;
            b2[216*B_3 + 24*T_4 + C_9i] = v11;
        }
    }
}

KERNEL(row_scatter_d53d86c3ae097179, 32)(const int *RESTRICT b0, const float *RESTRICT b1, float *RESTRICT b2) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    for (int piece = WORKER; piece < 264; piece += WORKERS) {
        const int end_1 = (piece + 1);
        for (int VC_1 = piece; VC_1 < end_1; VC_1 += 1) {
            worker_barrier();
            if (lane == 0) b2[VC_1] = 0.0f;
        }
        ROLLED
        for (int C_4 = 0; C_4 < 24; C_4 += 1) {
            ROLLED
            for (int B_5 = 0; B_5 < 4; B_5 += 1) {
                ROLLED
                for (int T_6 = 0; T_6 < 9; T_6 += 1) {
                    const int v7 = b0[9*B_5 + T_6];
                    const float v8 = b1[C_4 + 216*B_5 + 24*T_6];
                    if (v7 >= 0 && v7 < 11) {
                        const int V_9 = v7;
                        const int v10 = C_4 + 24*V_9;
                        if (v10 >= piece && v10 < (piece + 1)) {
                            const int V_11 = v10;
                            worker_barrier();
                            if (lane == 0) b2[C_4 + 24*V_9] += v8;
                        }
                    }
                }
            }
        }
    }
}
