# Graph to Plan through all plan passes: a transformer, and random graphs.
sinter_test(boxes boxes passes ir base)
target_sources(test_boxes_boxes PRIVATE passes/same_values.c boxes/transformer.c)
sinter_test(boxes random passes ir base)
target_sources(test_boxes_random PRIVATE passes/same_values.c boxes/same_piece.c)
