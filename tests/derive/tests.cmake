sinter_test(derive derive passes ir base)
sinter_test(derive differentiate passes ir base)
sinter_test(derive optimizer passes ir base)
