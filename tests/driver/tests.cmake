sinter_test(driver explain driver)
