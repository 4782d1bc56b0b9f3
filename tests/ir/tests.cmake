sinter_test(ir graph ir base)
sinter_test(ir text ir base)
sinter_test(ir verify ir base)
sinter_test(ir ledger ir base)
