"""What counts as good: anything that maps completions to scores."""
