sinter_test(base base base)
