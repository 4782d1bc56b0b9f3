sinter_test(cuda nvrtc codegen)
target_sources(test_cuda_nvrtc PRIVATE cuda/cubin.c)
set_tests_properties(cuda.nvrtc PROPERTIES SKIP_RETURN_CODE 77)

# Generated CUDA kernels on a CPU: compiled by the C compiler of this build, run by fibers.
set(EMULATION_SOURCES cuda/emulator.c cuda/emulated_code.c cuda/side_by_side.c)
foreach(NAME models faults)
  sinter_test(cuda ${NAME} driver)
  target_sources(test_cuda_${NAME} PRIVATE ${EMULATION_SOURCES})
  target_compile_definitions(test_cuda_${NAME} PRIVATE C_COMPILER="${CMAKE_C_COMPILER}")
  target_link_libraries(test_cuda_${NAME} PRIVATE ${CMAKE_DL_LIBS})
endforeach()
