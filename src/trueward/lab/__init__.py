"""The lab: Bradley–Terry clicks, then KL-anchored improvement, exact, on five answers.

The page in `web/` computes the same by itself; the tests hold the two together to 1e-9. docs/lab.md is its guide.
"""
