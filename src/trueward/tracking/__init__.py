"""The numbers of a run, sent to TensorBoard, Weights & Biases or trackio too. A run's own log stays its JSONL files."""

from trueward.tracking.services import catch_up, follow, require
from trueward.tracking.tracker import Tracker

__all__ = ["Tracker", "catch_up", "follow", "require"]
