"""The pipeline: prompts, SFT, comparisons, reward model, policy, evaluation, report."""

from trueward.pipeline.run import KNOWN_STAGES, STAGES, run_pipeline
from trueward.pipeline.sweep import sweep

__all__ = ["KNOWN_STAGES", "STAGES", "run_pipeline", "sweep"]
