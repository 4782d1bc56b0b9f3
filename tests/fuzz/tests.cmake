# Random graphs: what is generated, pass by pass, compiled, reduced.
set(FUZZ_SOURCES fuzz/generate.c fuzz/generate_chain.c fuzz/generate_nodes.c fuzz/values.c fuzz/rounding.c fuzz/extended.c
  fuzz/net_passes.c fuzz/net_derived.c fuzz/net_compiled.c fuzz/budgeted.c fuzz/isolated.c fuzz/reduce.c passes/same_values.c boxes/same_piece.c)
add_library(fuzz STATIC ${FUZZ_SOURCES})
target_link_libraries(fuzz PUBLIC passes codegen runtime ir base m)

sinter_test(fuzz generate fuzz)
sinter_test(fuzz passes fuzz)
sinter_test(fuzz compiled fuzz)
sinter_test(fuzz reduce fuzz)
foreach(NAME passes compiled)
  target_sources(test_fuzz_${NAME} PRIVATE fuzz/hunt.c)
endforeach()

# The rooms once more, with the planted bugs of base/planted.def in them, and the test that finds each.
add_library(planted STATIC EXCLUDE_FROM_ALL ${BASE_SOURCES} ${IR_SOURCES} ${PASSES_SOURCES} ${RUNTIME_SOURCES}
  ${CODEGEN_SOURCES} ${FUZZ_SOURCES})
target_compile_definitions(planted PUBLIC SINTER_PLANTED)
target_include_directories(planted SYSTEM PRIVATE ${LLVM_INCLUDE_DIRS})
target_link_libraries(planted PUBLIC Threads::Threads m PkgConfig::JANSSON xxhash ${CMAKE_DL_LIBS}
  ${CODEGEN_LIBRARIES})
sinter_test(fuzz planted planted)
target_sources(test_fuzz_planted PRIVATE fuzz/hunt.c)
