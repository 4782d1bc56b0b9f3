// launch 0, neg y~4: map_neg_568f2b5044a89986, 6 blocks of 32 threads
// launch 1, stack y~5: map_stack_5a9c96254fe00a19, 6 blocks of 32 threads after 0
// launch 2, merge y: map_merge_602410a3cab78dc9, 6 blocks of 32 threads after 1

KERNEL(map_neg_568f2b5044a89986, 32)(const float *RESTRICT b0, float *RESTRICT b1) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    const int works = 12;
    ROLLED
    for (int work = WORKER; work < works; work += WORKERS) {
        const int T_0 = work / 2;
        const int G_1 = 16 * (work % 2);
        const int G_1i = G_1 + lane;
        const float v2 = b0[64*T_0 + G_1i + 32];
        const float v3 = -(v2);
        b1[32*T_0 + G_1i] = v3;
    }
}

KERNEL(map_stack_5a9c96254fe00a19, 32)(const float *RESTRICT b0, const float *RESTRICT b1, float *RESTRICT b2) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    ROLLED
    for (int work = WORKER; work < 12; work += WORKERS) {
        const int T_0 = work / 2;
        const int G_1 = 16 * (work % 2);
        const int G_1i = G_1 + lane;
        const float v2 = b1[32*T_0 + G_1i];
        b2[32*T_0 + G_1i] = v2;
    }
    ROLLED
    for (int work = WORKER; work < 12; work += WORKERS) {
        const int T_6 = work / 2;
        const int G_7 = 16 * (work % 2);
        const int G_7i = G_7 + lane;
        const float v8 = b0[64*T_6 + G_7i];
        b2[32*T_6 + G_7i + 192] = v8;
    }
}

KERNEL(map_merge_602410a3cab78dc9, 32)(const float *RESTRICT b0, float *RESTRICT b1) {
    const int lane = LANE, block = (int)blockIdx.x, blocks = (int)gridDim.x;
    await_earlier();
    ROLLED
    for (int work = WORKER; work < 12; work += WORKERS) {
        const int T_0 = work / 2;
        const int D_1 = 16 * (work % 2);
        const int D_1i = D_1 + lane;
        const float v2 = b0[32*T_0 + D_1i];
        b1[64*T_0 + D_1i] = v2;
    }
    ROLLED
    for (int work = WORKER; work < 12; work += WORKERS) {
        const int T_0 = work / 2;
        const int D_5 = 16 * (work % 2);
        const int D_5i = D_5 + lane;
        const float v6 = b0[32*T_0 + D_5i + 192];
        b1[64*T_0 + D_5i + 32] = v6;
    }
}
