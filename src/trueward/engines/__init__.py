"""Where work happens: the sampler."""
