"""Where code that a model wrote runs: in a process of its own that can reach nothing but two pipes.

`run.py` belongs to trueward; everything else runs in the jails and imports the standard library alone.
"""
