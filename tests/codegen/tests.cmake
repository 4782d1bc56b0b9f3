sinter_test(codegen tile codegen passes)
target_sources(test_codegen_tile PRIVATE codegen/interpret_tile.c)
sinter_test(codegen tile_text codegen passes)
