"""Text to batches: loading, validation, chat format, prompts, comparisons, collation."""
