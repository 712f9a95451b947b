"""The ladder: prompts, SFT, comparisons, reward model, policy, evaluation, report."""

from trueward.workflow.climb import STAGES, climb
from trueward.workflow.sweep import sweep

__all__ = ["STAGES", "climb", "sweep"]
