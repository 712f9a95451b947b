"""The driver of every training loop, and what loops share: the optimisers' state, schedules, journals."""
