sinter_test(frontend lower frontend)
sinter_test(frontend cases frontend)
sinter_test(frontend errors frontend)
sinter_test(frontend config frontend)
