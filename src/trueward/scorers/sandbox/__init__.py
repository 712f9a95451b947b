"""The sandbox for code that a model wrote: a process of its own that can reach two pipes and nothing else.

`run.py` belongs to trueward; everything else runs in the jails and imports the standard library alone.
"""
