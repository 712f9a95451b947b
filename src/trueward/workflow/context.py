"""What every stage needs and no result depends on: the device, the sampler, where to tell how far it is."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from trueward.batches import Rollout
from trueward.config import Recipe
from trueward.data import jsonl
from trueward.engines import sampler
from trueward.engines.kept import Kept
from trueward.engines.sampler import Sampling
from trueward.instruments.gauge import Truth
from trueward.models import bases, compiled, loading, packed
from trueward.models.loading import Network
from trueward.models.schedule import seed_for
from trueward.progress import Reporter
from trueward.records import Completion, Prompt
from trueward.scorers import reward_model, simulated
from trueward.scorers.scorer import Scorer, fit_scale, scores
from trueward.tracking import Tracker, follow
from trueward.workflow.memory import give_back_what_is_freed, keep_what_is_freed

REFERENCE = "reference.jsonl"  # the SFT policy's own answers, two to each prompt: what 0 and 1 are


@dataclass(frozen=True)
class Context:
    """One run's surroundings."""

    recipe: Recipe
    device: torch.device
    reporter: Reporter
    kept: Kept = field(default_factory=Kept, compare=False, repr=False)

    @classmethod
    def make(cls, recipe: Recipe, reporter: Reporter) -> Context:
        """Sets torch's threads and asks for deterministic kernels: with one seed, two runs are the same to the bit."""
        if recipe.runtime.compile:
            compiled.require_compiler()
        packed.is_compiled = recipe.runtime.compile
        torch.set_num_threads(recipe.runtime.threads or os.cpu_count() or 1)
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Filling fresh memory with NaN costs a pass over all that's made, and nothing reads what it hasn't written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # not in torch's stubs
        if recipe.lora.rank:  # which is there to save memory
            give_back_what_is_freed()
        else:
            keep_what_is_freed()
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
        return cls(recipe, loading.pick_device(recipe.runtime.device), reporter)

    @property
    def sampling(self) -> Sampling:
        s = self.recipe.sampler
        return Sampling(s.temperature, s.max_new_tokens, s.rows)

    def tracker(self, work: Path, member: int = 0) -> Tracker:
        """Where the numbers of the stage in `work` are sent, beside its logs."""
        return follow(self.recipe.runtime.tracking, self.recipe.table(), work, member=member)

    def sample(self, network: Network, prompts: Sequence[Prompt], generator: torch.Generator) -> Rollout:
        return sampler.sample(network, prompts, self.sampling, generator, kept=self.kept)

    def write(self, network: Network, prompts: Sequence[Prompt], generator: torch.Generator) -> Rollout:
        """Rollouts to learn from: as above, or with coarser weights if the recipe says so. What is measured never is."""
        sampling = replace(self.sampling, quantize=self.recipe.sampler.quantize)
        rollout = sampler.sample(network, prompts, sampling, generator, kept=self.kept)
        self.kept.forget()  # the weights are about to change
        return rollout

    def sample_aloud(
        self, what: str, network: Network, prompts: Sequence[Prompt], generator: torch.Generator
    ) -> Rollout:
        """The same, telling how far it is."""
        self.reporter.start(what, len(prompts))
        tell = partial(self.reporter.at, note="")
        rollout = sampler.sample(network, prompts, self.sampling, generator, tell, self.kept)
        self.reporter.end(f"{len(prompts):,} answers")
        return rollout

    @property
    def shares(self) -> bool:
        """Whether networks are adapters on weights that they share."""
        return self.recipe.lora.rank > 0

    def policy(self, path: Path | str) -> Network:
        """One to look at: with adapters its weights are frozen."""
        if self.shares:
            return bases.policy(str(path), self.recipe.seed, self.device)
        return loading.causal(str(path), self.recipe.seed, self.device)

    def learner(self, network: Network, *what: str | int) -> Network:
        """A network as it is trained: itself, or with an adapter on it. what: whose seed the adapter starts from."""
        if not self.shares:
            return network
        return bases.adapted(network, self.recipe.lora, seed_for(self.recipe.seed, "lora", *what))

    def scalar(self, path: Path, *what: str | int) -> Network:
        """A policy's network with a scalar head of zeros, to be trained."""
        if not self.shares:
            return loading.reward_from_policy(path, self.device)
        return bases.reward_from_policy(
            str(path), self.recipe.lora, seed_for(self.recipe.seed, "lora", *what), self.device
        )

    def truths(self, annotators: Path, reference: Sequence[Completion]) -> list[Truth]:
        """The recipe's truths but people, each on its scale under the SFT policy's own answers (two to each prompt)."""
        truths = []
        for name in (t for t in self.recipe.evaluation.truths if not t.startswith("people:")):
            scorer = self._scorer(name, annotators)
            scale = fit_scale(scores(scorer, reference).reshape(-1, 2), f"evaluation.truths: {name}")
            truths.append(Truth(name, scorer, scale))
        return truths

    def _scorer(self, name: str, annotators: Path) -> Scorer:
        """`model:PATH`, a reward model that nothing is optimised against, a program, or a simulated utility's name."""
        if name.startswith("model:"):
            return reward_model.load(Path(name.removeprefix("model:")), self.device)
        if ":" in name or name == "judge":
            from trueward.workflow import rewarding  # which needs the context

            return rewarding.truth(name, self.recipe, self.device)
        try:
            return simulated.load(annotators, name)
        except ValueError as error:
            raise ValueError(
                f"evaluation.truths: {error}; or give model:DIRECTORY, verifier:NAME, or [] to measure no truth"
            ) from None


def read_completions(path: Path) -> list[Completion]:
    return [Completion.model_validate(row) for _, row in jsonl.read(path)]


def read_prompts(path: Path) -> list[Prompt]:
    return [Prompt.model_validate(row) for _, row in jsonl.read(path)]
