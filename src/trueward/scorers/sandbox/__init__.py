"""The sandbox for code that a model wrote: a process of its own that can reach two pipes and nothing else.

`run.py` is the part in trueward's own process; everything else runs in the jails and imports the standard library alone.
"""
