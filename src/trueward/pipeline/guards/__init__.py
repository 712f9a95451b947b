"""Guards: suites that the policy must not get worse at while it is trained, each run in a process of its own."""
