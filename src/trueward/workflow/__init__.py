"""The ladder: prompts, SFT, comparisons, reward model, policy, evaluation, report."""

from trueward.workflow.climb import KNOWN_STAGES, STAGES, climb
from trueward.workflow.sweep import sweep

__all__ = ["KNOWN_STAGES", "STAGES", "climb", "sweep"]
