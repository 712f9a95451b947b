"""Runs on disk: read and never written, so that nothing here can slow or stop training."""
