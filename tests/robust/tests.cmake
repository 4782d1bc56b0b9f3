# Bad input, scarce memory, changed files: every one a message, none a crash.
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
sinter_test(robust allocation driver)
target_sources(test_robust_allocation PRIVATE robust/scarce.c)
target_link_libraries(test_robust_allocation PRIVATE PkgConfig::JANSSON)
