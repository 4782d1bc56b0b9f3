// launch 0, neg y~4: map_neg_30c981e5e17566da, 3 blocks of 32 threads
// launch 1, stack y~5: map_stack_4e1dc1bf8c2213d5, 3 blocks of 32 threads after 0
// launch 2, merge y: map_merge_2430c70d2b023903, 3 blocks of 32 threads after 1

KERNEL(map_neg_30c981e5e17566da, 32)(const float *RESTRICT b0, float *RESTRICT b1) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    const int works = 6;
    for (int work = WORKER; work < works; work += WORKERS) {
        const int T_0 = work;
        const int G_1 = 0;
        float v3[2];
        UNROLL
        for (int v = 0; v < 2; v++) {
            const int G_1i = G_1 + 16 * v + lane;
            const float v2 = b0[64*T_0 + G_1i + 32];
            v3[v] = -(v2);
        }
        UNROLL
        for (int v = 0; v < 2; v++) {
            const int G_1i = G_1 + 16 * v + lane;
            b1[32*T_0 + G_1i] = v3[v];
        }
    }
}

KERNEL(map_stack_4e1dc1bf8c2213d5, 32)(const float *RESTRICT b0, const float *RESTRICT b1, float *RESTRICT b2) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    for (int work = WORKER; work < 6; work += WORKERS) {
        const int T_0 = work;
        const int G_1 = 0;
        float v2[2];
        UNROLL
        for (int v = 0; v < 2; v++) {
            const int G_1i = G_1 + 16 * v + lane;
            v2[v] = b1[32*T_0 + G_1i];
        }
        UNROLL
        for (int v = 0; v < 2; v++) {
            const int G_1i = G_1 + 16 * v + lane;
            b2[32*T_0 + G_1i] = v2[v];
        }
    }
    for (int work = WORKER; work < 6; work += WORKERS) {
        const int T_6 = work;
        const int G_7 = 0;
        float v8[2];
        UNROLL
        for (int v = 0; v < 2; v++) {
            const int G_7i = G_7 + 16 * v + lane;
            v8[v] = b0[64*T_6 + G_7i];
        }
        UNROLL
        for (int v = 0; v < 2; v++) {
            const int G_7i = G_7 + 16 * v + lane;
            b2[32*T_6 + G_7i + 192] = v8[v];
        }
    }
}

KERNEL(map_merge_2430c70d2b023903, 32)(const float *RESTRICT b0, float *RESTRICT b1) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    for (int work = WORKER; work < 6; work += WORKERS) {
        const int T_0 = work;
        const int D_1 = 0;
        float v2[2];
        UNROLL
        for (int v = 0; v < 2; v++) {
            const int D_1i = D_1 + 16 * v + lane;
            v2[v] = b0[32*T_0 + D_1i];
        }
        UNROLL
        for (int v = 0; v < 2; v++) {
            const int D_1i = D_1 + 16 * v + lane;
            b1[64*T_0 + D_1i] = v2[v];
        }
    }
    for (int work = WORKER; work < 6; work += WORKERS) {
        const int T_0 = work;
        const int D_5 = 0;
        float v6[2];
        UNROLL
        for (int v = 0; v < 2; v++) {
            const int D_5i = D_5 + 16 * v + lane;
            v6[v] = b0[32*T_0 + D_5i + 192];
        }
        UNROLL
        for (int v = 0; v < 2; v++) {
            const int D_5i = D_5 + 16 * v + lane;
            b1[64*T_0 + D_5i + 32] = v6[v];
        }
    }
}
