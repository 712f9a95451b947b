"""What Python users call: trueward.sft, compare, fit_reward_model, optimize, evaluate, run and others. See `trueward`."""
