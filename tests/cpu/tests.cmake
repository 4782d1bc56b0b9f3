sinter_test(cpu math codegen m)
sinter_test(cpu program codegen passes)
target_sources(test_cpu_program PRIVATE codegen/interpret_tile.c)
