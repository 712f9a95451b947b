"""The ladder: prompts, SFT, comparisons, reward model, policy, evaluation, report."""

from trueward.workflow.climb import KNOWN_STAGES, STAGES, climb

__all__ = ["KNOWN_STAGES", "STAGES", "climb"]
