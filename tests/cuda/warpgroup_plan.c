// Plans of products by wgmma (see warpgroup_plan.h).
#include "tests/cuda/warpgroup_plan.h"

#include "tests/cuda/tensor_plan.h"

// Factors in bf16, summed indices or rows side by side in all four ways; extents that no block divides.
const char warpgroup_four_ways[] = "graph \"products\"\n"
                                   "dim M=200 N=144 K=576\n"
                                   "%0 = input f32[M,K] \"a\" stored(M,K)\n"
                                   "%1 = input f32[K,N] \"b\" stored(K,N)\n"
                                   "%2 = input f32[M,K] \"c\" stored(K,M)\n"
                                   "%3 = input f32[K,N] \"d\" stored(N,K)\n"
                                   "%4 = neg f32[M,K] %0\n"
                                   "%5 = neg f32[K,N] %1\n"
                                   "%6 = neg f32[M,K] %2\n"
                                   "%7 = neg f32[K,N] %3\n"
                                   "%8 = contract f32[M,N] %4 %5 over(K)\n"
                                   "%9 = contract f32[M,N] %6 %7 over(K)\n"
                                   "%10 = contract f32[M,N] %4 %7 over(K)\n"
                                   "%11 = contract f32[M,N] %6 %5 over(K)\n"
                                   "%12 = tanh f32[M,N] %8\n"
                                   "output \"p\" %12\n"
                                   "output \"q\" %9\n"
                                   "output \"r\" %10\n"
                                   "output \"s\" %11\n";

// Batches, rows of two dims, a sum over two.
const char warpgroup_batches[] = "graph \"batches\"\n"
                                 "dim B=3 H=2 T=72 S=80 D=64 C=96 F=128\n"
                                 "%0 = input f32[B,H,T,D] \"q\" stored(B,H,T,D)\n"
                                 "%1 = input f32[B,H,S,D] \"k\" stored(B,H,S,D)\n"
                                 "%2 = input f32[C,F] \"w\" stored(C,F)\n"
                                 "%3 = input f32[B,T,C] \"x\" stored(B,T,C)\n"
                                 "%4 = neg f32[B,H,T,D] %0\n"
                                 "%5 = neg f32[B,H,S,D] %1\n"
                                 "%6 = neg f32[C,F] %2\n"
                                 "%7 = neg f32[B,T,C] %3\n"
                                 "%8 = contract f32[B,H,T,S] %4 %5 over(D)\n"
                                 "%9 = contract f32[B,T,F] %7 %6 over(C)\n"
                                 "%10 = contract f32[C,F] %7 %9 over(B,T)\n"
                                 "output \"y\" %8\n"
                                 "output \"z\" %10\n";

Plan *warpgroup_plan_of_some(Arena *arena, const char *text, TensorTile tile, uint32_t *refused) {
    Target target;
    CHECK(target_of_gpu("sm_90a", &target));
    Diags *diags = diags_create(arena);
    Plan *plan = tensor_plan_of_text(arena, "products", text, TENSOR_BF16, &target, diags);
    CHECK(plan);
    *refused = 0;
    for (uint32_t s = 0; s < plan->step_count; s++) {
        Step *step = &plan->steps[s];
        if (step->form != FORM_PRODUCT) continue;
        if (step->tensor.kind == TENSOR_NONE || step_box_refusal(plan, step))
            ++*refused;
        else
            step->tensor = tile;
    }
    const char *wrong = plan_verify(plan, arena);
    if (wrong) BUG("%s", wrong);
    return plan;
}

Plan *warpgroup_plan(Arena *arena, const char *text, TensorTile tile) {
    uint32_t refused;
    Plan *plan = warpgroup_plan_of_some(arena, text, tile, &refused);
    CHECK(refused == 0);
    return plan;
}
