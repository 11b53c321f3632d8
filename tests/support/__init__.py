"""What tests of several rooms share: makers of values and fakes of real interfaces."""
