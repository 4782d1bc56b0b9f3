// Wrong models, and what is said about them: place and sentence of the first complaint.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/frontend/keys.h"

typedef struct {
    const char *text;
    unsigned line, column;
    const char *message;
} Wrong;

// Each of these is line 15 of a model that is sound without it.
static const char before[] = "model m\n"
                             "config n=4 rate=0.5 mode=one|two on=false\n"
                             "dim B=2 T=6 S=T P=9 C=4 Z=2 A1=4 A2=4 A3=4\n"
                             "input tok[B]:u16\n"
                             "param w[C] ones as \"w.weight\"\n"
                             "param t[T] ones as \"t\"\n"
                             "fn inner1(a) = a + \"text\"\n"
                             "fn outer1(a) = inner1(a) * 2\n"
                             "fn leaks(a) {\n"
                             "  dim R=2 E=2\n"
                             "  return split(C, R, E) a\n"
                             "}\n"
                             "x = tok * w\n"
                             "t3 = t * w\n";
static const char after[] = "\nloss = mean(B,C) x\n";

static const Wrong wrong_lines[] = {
    {"y = x +", 15, 8, "expected an expression, found the end of the line"},
    {"y = x + )", 15, 9, "expected an expression, found ')'"},
    {"y = (x + w", 16, 1, "expected ')', found 'loss'"},
    {"y = x @ w", 15, 7, "unexpected character '@'"},
    {"y = 12abc", 15, 5, "malformed number '12abc'"},
    {"y = \"open", 15, 5, "this string has no closing '\"' on its line"},
    {"y = 1e999", 15, 5, "number '1e999' is too large"},
    {"y = 'a'", 15, 5, "unexpected character '''"},
    {"y x", 15, 3, "expected '=', found 'x'"},
    {"y[C = x", 15, 5, "expected ']', found '='"},
    {"y[C,] = x", 15, 5, "expected a dimension, found ']'"},
    {"y, z = x", 15, 1, "names on the left: 2, values on the right: 1"},
    {"y, y = x, x", 15, 4, "'y' is assigned twice in one statement"},
    {"y = x = w", 15, 7, "expected the end of the line, found '='"},
    {"y = a < b < c", 15, 11, "comparisons do not chain; write 'a < b and b < c'"},
    {"y = not", 15, 8, "expected an expression, found the end of the line"},
    {"y = sum C x", 15, 9, "expected the end of the line, found 'C'"},
    {"y = sum(C)", 15, 11, "expected a product after 'sum(...)', found the end of the line"},
    {"y = max(x, w)", 15, 14, "expected a product after 'max(...)', found the end of the line"},
    {"y = layernorm(C)(x)", 15, 5, "'layernorm' takes 3 arguments, found 1"},
    {"y = layernorm(x, \"n\", true)", 15, 18, "expected a dimension, found the string \"n\""},
    {"y = sqrt(x, w)", 15, 5, "'sqrt' takes 1 argument, found 2"},
    {"y = sofmax(S) x", 15, 5, "unknown function 'sofmax'; did you mean 'softmax'?"},
    {"y = x[C]", 15, 8, "expected '=': an index is written x[D = e], found ']'"},
    {"y = x[C=]", 15, 9, "expected an expression, found ']'"},
    {"y = where(x > 0, x)", 15, 5, "'where' takes 3 arguments, found 2"},
    {"y = stack(Z) x", 15, 14, "expected '(' and the arguments of 'stack', found 'x'"},
    {"y = size(C, T)", 15, 5, "'size' takes 1 dimension, found 2"},
    {"y = config(3, 4)", 15, 12, "expected the name of a config value, found '3'"},
    {"y = x if x", 15, 11, "expected 'else', found the end of the line"},
    {"y = inf(3)", 15, 8, "expected the end of the line, found '('"},
    {"if = x", 15, 1, "expected a statement, found the reserved word 'if'"},
    {"param w2 as \"w2\"", 15, 10, "expected '[' and the dimensions of the parameter, found 'as'"},
    {"param w2[C", 16, 1, "expected ']', found 'loss'"},
    {"param w2[C] ones", 15, 17, "expected 'as' and the name of the parameter in files, found the end of the line"},
    {"param w2[C] as w2", 15, 16, "expected the name of the parameter in files in quotes, found 'w2'"},
    {"param w2[C] as \"\"", 15, 16, "a stored name may not be empty"},
    {"param w2[(C,T] as \"w2\"", 15, 14, "expected ')', found ']'"},
    {"input z[B]:u8", 15, 12, "expected the width of a token in files: u16, u32 or token(V), found 'u8'"},
    {"input z:u16", 15, 8, "expected '[' and the dimensions of the input, found ':'"},
    {"config k", 15, 9, "expected '=', found the end of the line"},
    {"config k=", 15, 10,
     "expected a number, true, false, a string or choices such as erf|tanh, found the end of the line"},
    {"config k=-true", 15, 11, "expected a number after '-', found 'true'"},
    {"config n=3", 15, 8, "config 'n' is already declared at line 2"},
    {"model again", 15, 7, "'model' is already named at line 1"},
    {"dim Q", 15, 6, "expected '=', found the end of the line"},
    {"dim Q=2 3", 15, 9, "expected the name of a dimension, found '3'"},
    {"init big", 15, 9,
     "expected zeros, ones, normal(...), constant(...) or the name of an init, found the end of the line"},
    {"init big other", 15, 10, "expected zeros, ones, normal(...) or constant(...), found 'other'"},
    {"layer in 3 as \"h\"", 15, 7, "expected the name of the layer counter, found the reserved word 'in'"},
    {"layer i of 3 as \"h\" { }", 15, 9, "expected 'in', found 'of'"},
    {"layer i in 3 { }", 15, 14,
     "expected 'as' and the prefix of the layer's parameters in files, such as \"h.{i}\", found '{'"},
    {"fn sum(x) = x", 15, 4, "'sum' is built in and cannot be defined again"},
    {"fn f(x) x", 15, 9, "expected '=' or '{', found 'x'"},
    {"fn f(x, x) = x", 15, 9, "'x' stands twice in the parameters of 'f'"},
    {"fn f(x) { y = x }", 15, 4, "'f' has no 'return'"},
    {"}", 15, 1, "expected a statement, found '}'"},
    {"return x", 15, 1, "expected a statement, found the reserved word 'return'"},
    {"y = x + unknwn", 15, 9, "unknown name 'unknwn'; no value, dimension or config value above has it"},
    {"y = x + B2", 15, 9, "unknown name 'B2'; did you mean 'B'?"},
    {"y = sum(Q) x", 15, 9, "unknown dimension 'Q'; dimensions here: B, T, S, P, C, Z, A1, A2, A3"},
    {"y = sum(T) x", 15, 9, "'sum' over T, but what follows has no dimension T; it has: B, C"},
    {"y = sum(C,C) x", 15, 11, "dimension C is named twice"},
    {"y = max(T) x", 15, 9, "'max' over T, but what follows has no dimension T; it has: B, C"},
    {"y = x[T=S]", 15, 7, "f32[B,C] has no dimension T"},
    {"y = x[B=S]", 15, 9, "B=2 cannot be called S=6: a renamed dimension keeps its extent or becomes shorter"},
    {"y = x[C=T][B=T]", 15, 9, "C=4 cannot be called T=6: a renamed dimension keeps its extent or becomes shorter"},
    {"y = t3[T=C]", 15, 10, "f32[T,C] has dimension C already"},
    {"y = t3[T=P]", 15, 10, "T=6 cannot be called P=9: a renamed dimension keeps its extent or becomes shorter"},
    {"y = t3[T=8]", 15, 10, "T has the entries 0..5, found the number 8"},
    {"y = t3[T=-1]", 15, 10, "T has the entries 0..5, found the number -1"},
    {"y = t3[T=1.5]", 15, 10, "T has the entries 0..5, found the number 1.5"},
    {"y = t3[T=x]", 15, 10, "an index must be i32, found f32[B,C]"},
    {"y = t3[T=T-1]", 15, 11, "the index of T has dimension T itself: i32[T]"},
    {"y = t3[T=true]", 15, 10, "an index is a number, a dimension or an i32 value, found true"},
    {"y = 3[T=0]", 15, 6, "only a value with dimensions can be indexed, found the number 3"},
    {"y = x + \"a\"", 15, 9, "'+' takes numbers, found the string \"a\""},
    {"y = x + (x > 0)", 15, 12, "'+' takes numbers, found bool[B,C]"},
    {"y = exp(x > 0)", 15, 11, "'exp' takes numbers, found bool[B,C]"},
    {"y = x and w", 15, 5, "'and' takes conditions, found f32[B,C]"},
    {"y = not x", 15, 9, "'not' takes conditions, found f32[B,C]"},
    {"y = where(x, x, w)", 15, 11, "the first operand of 'where' is a condition, found f32[B,C]"},
    {"y = where(x > 0, \"a\", w)", 15, 18, "expected a number, found the string \"a\""},
    {"y = x / \"b\"", 15, 9, "'/' takes numbers, found the string \"b\""},
    {"y = 1 / 0", 15, 7, "division by zero"},
    {"y = sqrt(-1)", 15, 5, "the result of 'sqrt' is not a number"},
    {"y = 9007199254740992 + 1", 15, 22, "integer overflow: the result is 9.0072e+15"},
    {"y = x if x > 0 else w", 15, 12, "'if' needs a bool that is known while compiling, found bool[B,C]"},
    {"y = x if n else w", 15, 10, "'if' needs a bool that is known while compiling, found the number 4"},
    {"y = mode == \"three\"", 15, 13, "\"three\" is none of the choices: one, two"},
    {"y = mode + 1", 15, 5, "'+' takes numbers, found the string \"one\""},
    {"y = stack(C)(x, x, x, x)", 15, 14, "f32[B,C] has dimension C already"},
    {"y = split(T, Z, C) t3", 15, 17, "f32[T,C] has dimension C already"},
    {"y = split(C, Z, T) x", 15, 5, "C=4 is not Z=2 times T=6"},
    {"y = split(B, Z, T) x", 15, 5, "B=2 is not Z=2 times T=6"},
    {"y = split(C, B, Z) x", 15, 14, "f32[B,C] has dimension B already"},
    {"y = merge(B, C, T) x", 15, 5, "T=6 is not B=2 times C=4"},
    {"y = merge(T, C, B) x", 15, 11, "f32[B,C] has no dimension T"},
    {"y = size(W)", 15, 10, "unknown dimension 'W'; dimensions here: B, T, S, P, C, Z, A1, A2, A3"},
    {"y[B] = x", 15, 1, "'y' is declared with dimensions B, but its expression has B, C"},
    {"y[B,C,T] = x", 15, 1, "'y' is declared with dimensions B, T, C, but its expression has B, C"},
    {"y[B,B] = x", 15, 5, "'y' has dimension B twice"},
    {"C = x", 15, 1, "'C' is a dimension; choose another name"},
    {"n = x", 15, 1, "'n' is a config value; choose another name"},
    {"w = x", 15, 1, "'w' is a parameter already, from line 5"},
    {"tok = x", 15, 1, "'tok' is an input already, from line 4"},
    {"param x[C] ones as \"x2\"", 15, 7, "'x' is a value already, from line 13"},
    {"param w2[C,C] ones as \"w2\"", 15, 12,
     "'w2' has dimension C twice; a tensor has a dimension once (declare another of the same extent)"},
    {"param w2[Q] ones as \"w2\"", 15, 10, "unknown dimension 'Q'; dimensions here: B, T, S, P, C, Z, A1, A2, A3"},
    {"param w2[C] as \"w2\"", 15, 7, "no initial value here, and the model has no 'init default'"},
    {"param w2[C] big as \"w2\"", 15, 13, "unknown init 'big'"},
    {"param w2[C] normal(-1) as \"w2\"", 15, 20,
     "a standard deviation must be a finite number >= 0, found the number -1"},
    {"param w2[C] normal(\"a\") as \"w2\"", 15, 20,
     "a standard deviation must be a finite number >= 0, found the string \"a\""},
    {"param w2[C] ones as \"w.weight\"", 15, 21, "the stored name \"w.weight\" is taken already"},
    {"param w2[C] ones as \"h.{i}\"", 15, 21, "unknown name 'i'; no value, dimension or config value above has it"},
    {"param w2[C] ones as \"h.{n\"", 15, 21, "'{' and '}' do not match in \"h.{n\""},
    {"param w2[C] ones as \"h.{rate}\"", 15, 21, "{rate} must be a counter or a string, found the number 0.5"},
    {"param w2[C] ones as \"w2\" if n", 15, 29, "'if' needs a bool that is known while compiling, found the number 4"},
    {"param w2[C] ones as \"w2\" if x > 0", 15, 31, "'if' needs a bool that is known while compiling, found bool[B,C]"},
    {"param w2[B,T,S,P,C,Z,A1,A2,A3] ones as \"w2\"", 15, 28, "'w2' has more than 8 dimensions"},
    {"layer i in x as \"h\" { y = x }", 15, 12, "the number of layers must be an integer, found f32[B,C]"},
    {"layer i in -1 as \"h\" { y = x }", 15, 12, "the number of layers is -1; it must be in 0..4096"},
    {"layer i in 5000 as \"h\" { y = x }", 15, 12, "the number of layers is 5000; it must be in 0..4096"},
    {"layer i in 3/2 as \"h\" { y = x }", 15, 13, "3 is not divisible by 2"},
    {"layer C in 2 as \"h\" { y = x }", 15, 7, "'C' is a dimension; choose another name"},
    {"layer i in 2 as \"h\" { param q[C] ones as \"q\" }", 15, 42, "the stored name \"h.q\" is taken already"},
    {"layer i in 2 as \"h.{i}\" { y = nothing }", 15, 31,
     "unknown name 'nothing'; no value, dimension or config value above has it"},
    {"layer i in 2 as \"h\" { dim R=2 }", 15, 23, "'dim' may not stand inside a layer"},
    {"y = softmax(S) x", 15, 5, "in 'softmax': 'lse' over S, but what follows has no dimension S; it has: B, C"},
    {"y = softmax(Q)(x)", 15, 13, "unknown dimension 'Q'; dimensions here: B, T, S, P, C, Z, A1, A2, A3"},
    {"y = rope(T, Z)(t3, 10)", 15, 5, "in 'rope': f32[T,C] has no dimension Z"},
    {"y = outer1(x)", 7, 20, "'+' takes numbers, found the string \"text\""},
    {"y = leaks(x)", 11, 10, "the result of 'leaks' has its local dimension R, E"},
    {"y = layernorm(C)(x, \"w\", true) + layernorm(C)(x, \"w\", true)", 15, 5,
     "in 'layernorm': the stored name \"w.weight\" is taken already"},
    {"y = dropped(x > 0, 0.5)", 15, 5, "in 'dropped': '*' takes numbers, found bool[B,C]"},
    {"y = 9007199254740991 + 1", 15, 22, "integer overflow: the result is 9.0072e+15"},
    {"layer i in 2 as \"h\" { fn f(x) = x }", 15, 23, "'fn' may not stand inside a layer"},
    {"fn f(x) { return x\n y = x }", 16, 2, "nothing may follow the 'return' of 'f'"},
    {"y = x[T=S][B=0]", 15, 7, "f32[B,C] has no dimension T"},
    {"y = where(tok, 1, 0)[B=C]", 15, 11, "the first operand of 'where' is a condition, found i32[B]"},
    {"y = mean(B,C)", 15, 14, "expected a product after 'mean(...)', found the end of the line"},
    {"y = lse(C) on", 15, 9, "'lse' over C, but what follows has no dimension C; it has: none"},
    {"y = x - on", 15, 9, "'-' takes numbers, found false"},
    {"y = - \"a\"", 15, 7, "'-' takes numbers, found the string \"a\""},
    {"y = stop_gradient(missing)", 15, 19, "unknown name 'missing'; no value, dimension or config value above has it"},
    {"y = random(\"a\" + 1)", 15, 12, "'+' takes numbers, found the string \"a\""},
    {"input seed[B]:u16", 15, 7, "'seed' is an input that every model has; choose another name"},
    {"input v[B]:token(Q)", 15, 18, "unknown dimension 'Q'; dimensions here: B, T, S, P, C, Z, A1, A2, A3"},
    {"dim B=3", 15, 5, "dimension 'B' is already declared at line 3"},
    {"dim n=3", 15, 5, "'n' is a config value already"},
    {"dim W=C/3", 15, 8, "4 is not divisible by 3"},
    {"dim W=0", 15, 7, "dimension W is 0; it must be in 1..2147483647"},
    {"dim W=rate", 15, 7, "dimension W must be an integer, found the number 0.5"},
    {"dim W=n-5", 15, 8, "dimension W is -1; it must be in 1..2147483647"},
    {"dim W=1000000*1000000", 15, 14, "dimension W is 1000000000000; it must be in 1..2147483647"},
    {"dim W=nonsense", 15, 7, "unknown name 'nonsense'; no value, dimension or config value above has it"},
    {"layer C in 2 as \"h\" { y = x }", 15, 7, "'C' is a dimension; choose another name"},
    {"layer i in 2 as \"h\" { i = x }", 15, 23, "'i' is a layer counter already, from line 15"},
};

// Whole models.
#define HEAD "model m\ndim B=2 C=4\ninput tok[B]:u16\nparam w[C] ones as \"w\"\n"
static const Wrong wrong_models[] = {
    {"x = 1\n", 1, 1, "a model begins with a line such as 'model mine'"},
    {"", 1, 1, "a model begins with a line such as 'model mine'"},
    {HEAD "y = w\n", 6, 1, "the model assigns no 'loss'"},
    {HEAD "loss = w\n", 5, 1, "'loss' must be one number, but it has dimensions C; take a mean over them"},
    {HEAD "loss = 3\n", 5, 1, "'loss' must be f32 and depend on the inputs, found the number 3"},
    {HEAD "loss = mean(B) tok == 1\n", 5, 1, "'loss' must be f32 and depend on the inputs, found bool[]"},
    {HEAD "layer i in 1 as \"h\" {\n  loss = mean(C) w\n}\n", 8, 1, "the model assigns no 'loss'"},
    {"model m\nconfig bias=3\nloss = 1\n", 2, 8, "'bias' is a key of every model and must be a bool, found an integer"},
    {"model m\ndim B=batch_sise\nloss = 1\n", 2, 7, "unknown name 'batch_sise'; did you mean 'batch_size'?"},
    {"model m\ndim C=n_embd/7\nloss = 1\n", 2, 13, "768 is not divisible by 7"},
    {"model m\n"
     "dim A=3000000 B=A C=A D=A\n"
     "param p[A,B] ones as \"p\"\n"
     "param q[C,D] ones as \"q\"\n"
     "loss = sum(A,B,C,D) (p * q)\n"
     "y = sum(C,D) p * q + max(A,B,C,D) (p + q)\n",
     5, 8, "a value over A, B, C, D would have 8.1e+25 elements"},
    {"model m\n"
     "dim A=2 B=2 C=2 D=2 E=2 F=2 G=2 H=2 I=2\n"
     "param p[A,B,C,D,E] ones as \"p\"\n"
     "param q[F,G,H,I] ones as \"q\"\n"
     "loss = sum(A,B,C,D,E,F,G,H,I) exp(p + q)\n",
     5, 37, "add would have 9 dims {A,B,C,D,E,F,G,H,I}; at most 8 are possible"},
    {"model m\n"
     "dim A=2 B=2 C=2 D=2 E=2 F=2 G=2 H=2 I=2 J=2\n"
     "param p[A,B,C,D,E,J] ones as \"p\"\n"
     "param q[F,G,H,I,J] ones as \"q\"\n"
     "loss = sum(J) p * q\n",
     5, 8, "a value would have 9 dimensions (A, B, C, D, E, F, G, H, I); at most 8 are possible"},
    {"model m\ndim A=70000 B=70000\nparam p[A,B] ones as \"p\"\nloss = sum(A,B) random(p)\n", 4, 17,
     "random numbers for more than 2^32 elements: f32[A,B]"},
    {"model m\n"
     "dim A0=1 A1=1 A2=1 A3=1 A4=1 A5=1 A6=1 A7=1 A8=1 A9=1 A10=1 A11=1 A12=1 A13=1 A14=1 A15=1 A16=1 "
     "A17=1 A18=1 A19=1 A20=1 A21=1 A22=1 A23=1 A24=1 A25=1 A26=1 A27=1 A28=1 A29=1 A30=1 A31=1 A32=1 "
     "A33=1 A34=1 A35=1 A36=1 A37=1 A38=1 A39=1 A40=1 A41=1 A42=1 A43=1 A44=1 A45=1 A46=1 A47=1 A48=1 "
     "A49=1 A50=1 A51=1 A52=1 A53=1 A54=1 A55=1 A56=1 A57=1 A58=1 A59=1 A60=1 A61=1 A62=1 A63=1 A64=1\n"
     "loss = 1\n",
     2, 379, "a model can have 64 dimensions; 'A64' is one too many"},
    {"model m\n"
     "dim A0=1 A1=1 A2=1 A3=1 A4=1 A5=1 A6=1 A7=1 A8=1 A9=1 A10=1 A11=1 A12=1 A13=1 A14=1 A15=1 A16=1 "
     "A17=1 A18=1 A19=1 A20=1 A21=1 A22=1 A23=1 A24=1 A25=1 A26=1 A27=1 A28=1 A29=1 A30=1 A31=1 A32=1 "
     "A33=1 A34=1 A35=1 A36=1 A37=1 A38=1 A39=1 A40=1 A41=1 A42=1 A43=1 A44=1 A45=1 A46=1 A47=1 A48=1 "
     "A49=1 A50=1 A51=1 A52=1 A53=1 A54=1 A55=1 A56=1 A57=1 A58=1 A59=1 A60=1 A61=1 A62=1 D=4\n"
     "param p[D] ones as \"p\"\n"
     "fn f(D)(x) {\n"
     "  dim R=2 E=2\n"
     "  return merge(R,E,D) split(D,R,E) x\n"
     "}\n"
     "loss = sum(D) f(D)(p)\n",
     5, 7, "a model can have 64 dimensions; 'R' is one too many"},
    {HEAD "fn f(C)(x) {\n  dim C=3\n  return x\n}\nloss = sum(C) f(C)(w)\n", 6, 7, "'C' is a dimension of 'f' already"},
    {HEAD "fn f(C)(x) {\n  C = x\n  return x\n}\nloss = sum(C) f(C)(w)\n", 6, 3,
     "'C' is a dimension; choose another name"},
    {HEAD "fn f(x) {\n  y[B] = x\n  return y\n}\nloss = sum(C) f(w)\n", 6, 3,
     "'y' is declared with dimensions B, but its expression has C"},
    {HEAD "fn f(x) = x + w\nloss = sum(C) f(w)\n", 5, 15,
     "unknown name 'w'; no value, dimension or config value above has it"},
    {HEAD "loss = sum(C) later(w)\nfn later(x) = x\n", 5, 15,
     "unknown function 'later'; a function is defined before its first use"},
    {HEAD "fn f(x) = x\nfn f(x) = x\nloss = sum(C) f(w)\n", 6, 4, "function 'f' is already defined at line 5"},
    {HEAD "loss = sum(C) w * gelu_ref(w)\n", 5, 19, "unknown function 'gelu_ref'; did you mean 'gelu_erf'?"},
    {HEAD "layer i in 2 as \"h.{j}\" {\n  y = 1\n}\nloss = sum(C) w\n", 5, 17,
     "unknown name 'j'; no value, dimension or config value above has it"},
    {HEAD "layer i in 2 as \"h.{i}\" {\n  y = 1\n}\nloss = sum(C) w * y\n", 8, 19,
     "unknown name 'y'; no value, dimension or config value above has it"},
    {HEAD "layer i in 2 as \"h.{i}\" {\n  y = 1\nloss = sum(C) w\n", 8, 1, "expected '}', found the end of the file"},
    {HEAD "init resid normal(0.1)\nparam v[C] resod as \"v\"\nloss = sum(C) w\n", 6, 12,
     "unknown init 'resod'; did you mean 'resid'?"},
    {HEAD "init default normal(x)\nparam v[C] as \"v\"\nloss = sum(C) w\n", 5, 21,
     "unknown name 'x'; no value, dimension or config value above has it"},
    {HEAD "param v[C] as \"v\" if bais\nloss = sum(C) w\n", 5, 22,
     "unknown name 'bais'; no value, dimension or config value above has it"},
    {"model m\ndim A=3000000 B=A C=A D=A\nparam p[A,B,C,D] ones as \"p\"\nloss = sum(A,B,C,D) p\n", 3, 7,
     "a value over A, B, C, D would have 8.1e+25 elements"},
    {"model m\ndim A=3000000 B=A C=A D=A\ninput p[A,B,C,D]:u16\nloss = sum(A,B,C,D) p\n", 3, 7,
     "a value over A, B, C, D would have 8.1e+25 elements"},
};

static const char *first_complaint(Arena *arena, const char *source, Diags *diags) {
    Spec *spec = spec_parse(arena, "m", source, diags);
    if (spec) {
        Config *config = keys_create(arena);
        if (spec_declare(spec, config, diags)) assert_null(spec_lower(arena, spec, config, SPEC_LOSS, diags));
    }
    Text text = text_create(arena);
    diags_render(diags, &text);
    const char *all = text_string(&text);
    return arena_copy_range(arena, all, strcspn(all, "\n"));
}

static void check(const Wrong *wrong, const char *source) {
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    const char *expected = arena_format(arena, "m:%u:%u: error: %s", wrong->line, wrong->column, wrong->message);
    const char *found = first_complaint(arena, source, diags);
    if (!text_equal(found, expected)) print_message("in '%s'\n", wrong->text);
    assert_string_equal(found, expected);
    arena_free(arena);
}

static void test_lines(void **state) {
    (void)state;
    Arena *arena = arena_create();
    for (size_t i = 0; i < sizeof wrong_lines / sizeof *wrong_lines; i++)
        check(&wrong_lines[i], arena_format(arena, "%s%s%s", before, wrong_lines[i].text, after));
    arena_free(arena);
}

static void test_models(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrong_models / sizeof *wrong_models; i++)
        check(&wrong_models[i], wrong_models[i].text);
}

// The model around the wrong lines is sound, so that every complaint above is about the line.
static void test_sound_without(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Spec *spec = spec_parse(arena, "m", arena_format(arena, "%s%s", before, after), diags);
    assert_non_null(spec);
    Config *config = keys_create(arena);
    assert_true(spec_declare(spec, config, diags));
    assert_non_null(spec_lower(arena, spec, config, SPEC_LOSS, diags));
    assert_int_equal(diags_errors(diags), 0);
    arena_free(arena);
}

static const char *repeat(Arena *arena, const char *text, size_t count) {
    Text result = text_create(arena);
    for (size_t i = 0; i < count; i++)
        text_append(&result, "%s", text);
    return text_string(&result);
}

// Nothing that a text can hold exhausts the stack, the time or the memory.
static void test_monsters(void **state) {
    (void)state;
    Arena *arena = arena_create();
    enum { MANY = 100000 };
    const char *const texts[] = {
        arena_format(arena, HEAD "loss = %s", repeat(arena, "(", MANY)),
        arena_format(arena, HEAD "loss = %s1", repeat(arena, "-", MANY)),
        arena_format(arena, HEAD "loss = %strue", repeat(arena, "not ", MANY)),
        arena_format(arena, HEAD "loss = 1%s", repeat(arena, "+1", MANY)),
        arena_format(arena, HEAD "loss = w%s", repeat(arena, "[C=0]", MANY)),
        arena_format(arena, HEAD "loss = %sw", repeat(arena, "sum(C) ", MANY)),
        arena_format(arena, HEAD "loss = %s1", repeat(arena, "1 if true else ", MANY)),
        arena_format(arena, HEAD "%s", repeat(arena, "layer i in 2 as \"h\" {\n", MANY)),
        arena_format(arena, HEAD "%sloss = 1", repeat(arena, "layer i in 9 as \"h\" {\n", 100)),
        arena_format(arena, HEAD "%s", repeat(arena, "}\n", MANY)),
        arena_format(arena, "model m\ndim %s", repeat(arena, "A=1 ", MANY)),
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Diags *diags = diags_create(arena);
        first_complaint(arena, texts[i], diags);
        assert_true(diags_errors(diags) >= 1 && diags_errors(diags) <= 20);
    }
    arena_free(arena);
}

// f1 calls f0 twice, f2 calls f1 twice ...: 2^40 calls are refused, not made.
static void test_doubling(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Text text = text_create(arena);
    text_append(&text, HEAD "fn f0(x) = x\n");
    for (int i = 1; i <= 40; i++)
        text_append(&text, "fn f%d(x) = f%d(x) + f%d(x)\n", i, i - 1, i - 1);
    text_append(&text, "loss = f40(1.0)\n");
    Diags *diags = diags_create(arena);
    first_complaint(arena, text_string(&text), diags);
    assert_true(diags_errors(diags) >= 1);
    arena_free(arena);
}

// One run reports several mistakes, each once however often its layer is unrolled, with the way to each.
static void test_several(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    first_complaint(arena, HEAD "layer i in 3 as \"h.{i}\" {\n  y = sum(B) w\n  z = y + 1\n}\nloss = mean(C) v\n",
                    diags);
    Text text = text_create(arena);
    diags_render(diags, &text);
    assert_string_equal(text_string(&text),
                        "m:6:11: error: 'sum' over B, but what follows has no dimension B; it has: C\n"
                        "      y = sum(B) w\n"
                        "              ^\n"
                        "m:9:16: error: unknown name 'v'; no value, dimension or config value above has it\n"
                        "    loss = mean(C) v\n"
                        "                   ^\n");
    arena_free(arena);
}

static void test_way(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    first_complaint(arena, HEAD "fn twice(a) = softmax(B) a * 2\nloss = twice(w)\n", diags);
    Text text = text_create(arena);
    diags_render(diags, &text);
    const char *all = text_string(&text);
    assert_non_null(
        strstr(all, "m:5:15: error: in 'softmax': 'lse' over B, but what follows has no dimension B; it has: C\n"));
    assert_non_null(strstr(all, "note: here\n"));
    assert_non_null(strstr(all, "m:6:8: note: in 'twice', called from here\n"));
    arena_free(arena);
}

// A parameter without influence is trained for nothing.
static void test_unused(void **state) {
    (void)state;
    Arena *arena = arena_create();
    Diags *diags = diags_create(arena);
    Spec *spec = spec_parse(arena, "m", HEAD "param idle[C] ones as \"idle\"\nloss = mean(B,C) w * tok\n", diags);
    Config *config = keys_create(arena);
    Graph *graph = spec_lower(arena, spec, config, SPEC_LOSS, diags);
    assert_non_null(graph);
    assert_int_equal(graph_find_leaf_node(graph, "idle"), NODE_NONE);
    assert_int_equal(diags_errors(diags), 0);
    Text text = text_create(arena);
    diags_render(diags, &text);
    assert_non_null(strstr(text_string(&text), "m:5:23: warning: parameter \"idle\" does not influence the loss"));
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_models),   cmocka_unit_test(test_sound_without),
        cmocka_unit_test(test_monsters), cmocka_unit_test(test_doubling), cmocka_unit_test(test_several),
        cmocka_unit_test(test_way),      cmocka_unit_test(test_unused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
