sinter_test(plan layout ir base)
sinter_test(plan plan ir base)
sinter_test(plan nested ir base)
sinter_test(plan rounds ir base)
