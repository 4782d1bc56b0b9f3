add_test(NAME lint.rooms COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/rooms.sh ${CMAKE_SOURCE_DIR})
set_tests_properties(lint.rooms PROPERTIES LABELS lint)
add_test(NAME lint.docs COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/docs.sh ${CMAKE_SOURCE_DIR})
set_tests_properties(lint.docs PROPERTIES LABELS lint)
add_test(NAME lint.skipped COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/skipped.sh ${CMAKE_SOURCE_DIR} ${CMAKE_COMMAND}
  ${CMAKE_BINARY_DIR})
set_tests_properties(lint.skipped PROPERTIES LABELS lint)
