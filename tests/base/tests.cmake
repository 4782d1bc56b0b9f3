sinter_test(base base base)
sinter_test(base cache base)
sinter_test(base half base m)
