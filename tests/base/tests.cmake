sinter_test(base base base)
sinter_test(base cache base)
