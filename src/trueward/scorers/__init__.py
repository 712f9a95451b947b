"""Scorers: everything that maps completions to scores, from reward models and verifiers to judges."""
