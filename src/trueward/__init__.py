"""trueward: RLHF that measures the truth and steers by it."""

__version__ = "0.2.0"
