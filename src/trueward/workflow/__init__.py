"""The ladder: prompts, SFT, comparisons, reward model, policy, evaluation, report."""

from trueward.workflow.climb import STAGES, climb

__all__ = ["STAGES", "climb"]
