"""The test of a reward before anything is trained on it: what it must not love, measured on edited answers."""
