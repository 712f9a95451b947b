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
from trueward.models import loading, shared_base
from trueward.models.fast import compiled, packed
from trueward.models.network import Network
from trueward.pipeline.memory import give_back_what_is_freed, keep_what_is_freed
from trueward.progress import Progress
from trueward.records import Completion, Prompt
from trueward.sampling import sampler
from trueward.sampling.decoder_pool import DecoderPool
from trueward.sampling.sampler import SamplingParams
from trueward.seeds import seed_for
from trueward.tracking import Tracker, follow

REFERENCE = "reference.jsonl"  # the SFT policy's own answers, two to each prompt: what 0 and 1 are


@dataclass(frozen=True)
class Env:
    """One run's surroundings."""

    recipe: Recipe
    device: torch.device
    progress: Progress
    pool: DecoderPool = field(default_factory=DecoderPool, compare=False, repr=False)

    @classmethod
    def make(cls, recipe: Recipe, progress: Progress) -> Env:
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
        return cls(recipe, loading.pick_device(recipe.runtime.device), progress)

    @property
    def sampling(self) -> SamplingParams:
        s = self.recipe.sampler
        return SamplingParams(s.temperature, s.max_new_tokens, s.engine.max_num_seqs)

    def tracker(self, work: Path, member: int = 0) -> Tracker:
        """Where the numbers of the stage in `work` are sent, beside its logs."""
        return follow(self.recipe.runtime.tracking, self.recipe.table(), work, member=member)

    def sample(self, network: Network, prompts: Sequence[Prompt], generator: torch.Generator) -> Rollout:
        return sampler.sample(network, prompts, self.sampling, generator, pool=self.pool)

    def sample_rollout(self, network: Network, prompts: Sequence[Prompt], generator: torch.Generator) -> Rollout:
        """Rollouts to learn from: as above, or with coarser weights if the recipe says so. What is measured never is."""
        sampling = replace(self.sampling, quantize=self.recipe.sampler.engine.quantize)
        rollout = sampler.sample(network, prompts, sampling, generator, pool=self.pool)
        self.pool.forget()  # the weights are about to change
        return rollout

    def sample_with_progress(
        self, what: str, network: Network, prompts: Sequence[Prompt], generator: torch.Generator
    ) -> Rollout:
        """The same, telling how far it is."""
        self.progress.start(what, len(prompts))
        tell = partial(self.progress.at, note="")
        rollout = sampler.sample(network, prompts, self.sampling, generator, tell, self.pool)
        self.progress.end(f"{len(prompts):,} answers")
        return rollout

    @property
    def shares(self) -> bool:
        """Whether networks are adapters on weights that they share."""
        return self.recipe.lora.rank > 0

    def policy(self, path: Path | str) -> Network:
        """One to look at: with adapters its weights are frozen."""
        if self.shares:
            return shared_base.policy(str(path), self.recipe.seed, self.device)
        return loading.causal(str(path), self.recipe.seed, self.device)

    def trainable(self, network: Network, *what: str | int) -> Network:
        """A network as it is trained: itself, or with an adapter on it. what: whose seed the adapter starts from."""
        if not self.shares:
            return network
        return shared_base.adapted(network, self.recipe.lora, seed_for(self.recipe.seed, "lora", *what))

    def scalar_head(self, path: Path, *what: str | int) -> Network:
        """A policy's network with a scalar head of zeros, to be trained."""
        if not self.shares:
            return loading.reward_from_policy(path, self.device)
        return shared_base.reward_from_policy(
            str(path), self.recipe.lora, seed_for(self.recipe.seed, "lora", *what), self.device
        )


def read_completions(path: Path) -> list[Completion]:
    return [Completion.model_validate(row) for _, row in jsonl.read(path)]


def read_prompts(path: Path) -> list[Prompt]:
    return [Prompt.model_validate(row) for _, row in jsonl.read(path)]
