"""Answers from a policy: the sampler and its decoders."""
