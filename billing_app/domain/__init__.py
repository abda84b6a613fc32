"""The billing rules as pure functions and frozen values: standard library only, no clock, no I/O."""
