"""Pure functions, tensors in, tensors out: what is optimised, and nothing else."""
