"""The lab: Bradley–Terry clicks, then KL-anchored improvement, exact, on five answers.

The page in `web/` computes the same on its own; tests require that the two agree to 1e-9. docs/lab.md is its guide.
"""
