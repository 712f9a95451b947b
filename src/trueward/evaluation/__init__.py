"""Numbers: what is measured of a policy and of a reward model, and what the numbers say together."""
