"""Runs as they lie on disk: looked at, never touched, so that nothing here can slow or stop training."""
