# Random graphs: what is generated, pass by pass, compiled, reduced.
add_library(fuzz STATIC fuzz/generate.c fuzz/generate_chain.c fuzz/generate_nodes.c fuzz/values.c)
target_link_libraries(fuzz PUBLIC ir base)

sinter_test(fuzz generate fuzz ir base)
sinter_test(fuzz passes fuzz passes ir base)
target_sources(test_fuzz_passes PRIVATE passes/same_values.c)
