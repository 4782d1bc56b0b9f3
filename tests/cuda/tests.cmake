sinter_test(cuda nvrtc codegen)
target_sources(test_cuda_nvrtc PRIVATE cuda/cubin.c)
set_tests_properties(cuda.nvrtc PROPERTIES SKIP_RETURN_CODE 77)
