// A small plan that has something of everything: three forms, a panel layout, a state written in place, cuts, edges and
// memory. Tests edit this text and look at what plan_verify says.
#ifndef SINTER_TESTS_PLAN_PLAN_TEXT_H
#define SINTER_TESTS_PLAN_PLAN_TEXT_H

static const char plan_text[] =
    "plan \"small\"\n"
    "dim B=4 C=3 F=5 G=5\n"
    "group 1 \"centre\" at \"x\"\n"
    "value %0 input f32[B,C] @ (B, C) \"x\" stored(B,C) arena+0 bytes 64\n"
    "value %1 param f32[C,F] @ (F/2, C, F%2) \"w\" stored(C,F) init normal(0.02) state+0 bytes 128\n"
    "value %2 temporary f32[B,C] @ (B, C) name \"centred\" arena+64 bytes 64\n"
    "value %3 temporary f32[B] @ (B) arena+128 bytes 64\n"
    "value %4 output f32[B,F] @ ((B,F)) name \"y\" arena+192 bytes 128\n"
    "value %5 output f32[C,F] @ (F/2, C, F%2) name \"w\" next_of %1 in_place state+0 bytes 128\n"
    "step 0 row \"centre\" at \"x\" tiles inner(C) cut(B)/2 flops 24 bytes 112\n"
    "  in %0 none\n"
    "  out %2, %3\n"
    "  region {\n"
    "    %0 = operand f32[B,C] 0\n"
    "    %1 = sum f32[B] %0 over(C) ; group=1\n"
    "    %2 = sub f32[B,C] %0 %1 ; name=\"centred\" group=1\n"
    "    output \"centred\" %2\n"
    "    output \"sum\" %1\n"
    "  }\n"
    "step 1 product \"product\" at \"y\" tiles cut(B)/2 tile 6 by 16 flops 120 bytes 200\n"
    "  in %2 same, %1 none, %3 same\n"
    "  out %4\n"
    "  region {\n"
    "    %0 = operand f32[B,C] 0\n"
    "    %1 = operand f32[C,F] 1\n"
    "    %2 = contract f32[B,F] %0 %1 over(C)\n"
    "    %3 = operand f32[B] 2\n"
    "    %4 = mul f32[B,F] %2 %3\n"
    "    output \"y\" %4\n"
    "  }\n"
    "step 2 map \"update\" at \"w\" tiles cut()/1 wait\n"
    "  in %1 none, %4 all\n"
    "  out %5\n"
    "  region {\n"
    "    %0 = operand f32[C,F] 0\n"
    "    %1 = operand f32[B,F] 1\n"
    "    %2 = select f32[F] %1 from B at 1\n"
    "    %3 = sub f32[C,F] %0 %2\n"
    "    output \"w\" %3\n"
    "  }\n"
    "memory arena 320 state 128 scratch 0\n";

#endif
