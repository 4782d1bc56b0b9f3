# The built program, as a user runs it.
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
foreach(name fixtures threads commands)
  sinter_test(e2e ${name} runtime base)
  target_link_libraries(test_e2e_${name} PRIVATE PkgConfig::JANSSON)
  target_compile_definitions(test_e2e_${name} PRIVATE SINTER="$<TARGET_FILE:sinter>")
  add_dependencies(test_e2e_${name} sinter)
endforeach()
add_test(NAME e2e.check COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/check_levels.sh $<TARGET_FILE:sinter> ${CMAKE_SOURCE_DIR})
add_test(NAME e2e.character_model
         COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/character_model.sh $<TARGET_FILE:sinter> ${CMAKE_SOURCE_DIR})
set_tests_properties(e2e.check e2e.character_model PROPERTIES LABELS e2e)
set_tests_properties(e2e.character_model PROPERTIES RUN_SERIAL ON SKIP_RETURN_CODE 77)
