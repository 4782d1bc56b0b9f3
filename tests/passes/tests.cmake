# Text tests of passes: every file tests/passes/<pass>/<case>.ir is one test, run by run_pass_case. BLESS=1 writes results.
add_executable(run_pass_case passes/run_pass_case.c passes/same_values.c)
target_link_libraries(run_pass_case PRIVATE passes ir base)

sinter_test(passes pipeline passes ir base)
sinter_test(passes rewrites passes ir base)
sinter_test(passes choices passes ir base)
target_sources(test_passes_rewrites PRIVATE passes/same_values.c)

file(GLOB PASS_CASES CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/passes passes/*/*.ir)
foreach(PASS_CASE ${PASS_CASES})
  string(REPLACE ".ir" "" PASS_CASE_NAME ${PASS_CASE})
  string(REPLACE "/" "." PASS_CASE_NAME ${PASS_CASE_NAME})
  add_test(NAME passes.${PASS_CASE_NAME} COMMAND run_pass_case ${CMAKE_CURRENT_SOURCE_DIR}/passes/${PASS_CASE})
  set_tests_properties(passes.${PASS_CASE_NAME} PROPERTIES LABELS passes)
endforeach()

# A rewrite pass is only as good as its cases: six where it fires and two where it must not.
foreach(REWRITE_PASS simplify constants renames row_dot)
  file(GLOB FIRING passes/${REWRITE_PASS}/*.ir)
  file(GLOB SILENT passes/${REWRITE_PASS}/not_when_*.ir)
  list(LENGTH FIRING ALL_CASES)
  list(LENGTH SILENT SILENT_CASES)
  math(EXPR FIRING_CASES "${ALL_CASES} - ${SILENT_CASES}")
  if(FIRING_CASES LESS 6 OR SILENT_CASES LESS 2)
    message(FATAL_ERROR "tests/passes/${REWRITE_PASS} needs 6 cases and 2 not_when_ cases, and has "
                        "${FIRING_CASES} and ${SILENT_CASES}")
  endif()
endforeach()
