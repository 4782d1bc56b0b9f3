sinter_test(reference reference ir base)
# The whole front half: spec, derivative and optimizer, trained by the reference.
sinter_test(reference train frontend passes ir base PkgConfig::JANSSON)
