"""A verifier as a guard: the checkpoint answers the guard's prompts once each, and the verifier scores the answers."""

from __future__ import annotations

from pathlib import Path

import torch

from trueward.config import SamplerConfig
from trueward.pipeline.answers import exact_sampler
from trueward.pipeline.guards.guard_job import PROMPTS, GuardJob, Scores
from trueward.pipeline.records import read_prompts
from trueward.sampling.draws import Draws
from trueward.scorers.verifiers import catalogue
from trueward.training.env import Env


def run(job: GuardJob, checkpoint: Path, device: str, folder: Path) -> Scores:
    """Scores by prompt. Every checkpoint draws its answers with the same numbers, so that less of a difference is chance."""
    env = Env(device=torch.device(device))
    prompts = read_prompts(folder / PROMPTS)
    sample = exact_sampler(SamplerConfig.model_validate(job.sampler), env)
    answers = sample(env.load(checkpoint), prompts, Draws.purpose(job.seed, "guard", job.name)).completions
    scored = catalogue.make(job.task, job.options, job.name)(answers)
    return {prompt.id: score.score for prompt, score in zip(prompts, scored, strict=True)}
