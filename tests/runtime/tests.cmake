foreach(NAME checkpoints interrupt probe random threads session slot tensor_file weights tokens schedule vocabulary sample train)
  sinter_test(runtime ${NAME} runtime base)
endforeach()
