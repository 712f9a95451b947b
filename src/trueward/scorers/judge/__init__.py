"""A language model as the source of reward: it compares two answers by a written principle, or rates one."""
