"""What every stage and loop needs and no result depends on: the device, progress, how much fits into memory.

Only a trial changes results: it cuts work short to measure it, and its results are thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from trueward.config import JudgeCallsConfig
from trueward.models import loading, precision, shared_base
from trueward.models.network import Network
from trueward.parallel.fabric import ALONE, Fabric
from trueward.progress import Progress
from trueward.sampling.decoder_pool import DecoderPool
from trueward.sampling.rank_pool import RankPool
from trueward.sampling.remote import SamplerPool
from trueward.scorers.remote import ScorerPool
from trueward.token_budget import Budget
from trueward.tracking import Tracker
from trueward.training.journal import Journal


def untracked(journal: Journal, member: int = 0) -> Tracker:
    """The default of `Env.track`: a tracker that sends nothing."""
    return Tracker()


@dataclass(frozen=True)
class Trial:
    """How short a trial is: steps of each training loop, and prompts that the SFT policy answers to set the scale."""

    steps: int
    reference_prompts: int


@dataclass(frozen=True)
class Remote:
    """What stands ready elsewhere for the training processes. Rank 0 asks it for all; the others know whether it is there."""

    samplers: SamplerPool | None = None
    scorers: ScorerPool | None = None
    has_samplers: bool = False
    has_scorers: bool = False


NOWHERE = Remote()


@dataclass(frozen=True)
class Env:
    """Where and how one run is computed."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Progress = field(default_factory=Progress)
    dtype: torch.dtype | None = None
    """The precision of products, of every network that is loaded; None: a model's run's, else `auto`'s."""
    micro_batch_tokens: Budget = 4096
    """Tokens that go through a model at once while it learns."""
    checkpoint_seconds: float = 20.0
    """Seconds between two checkpoints, more where one takes long to write; 0: one at every step."""
    shares: bool = False
    """Whether networks are adapters on frozen weights that they share."""
    base_kept: str = "plain"
    """How those weights are kept: `plain`, or `nf4` (models/nf4.py)."""
    shards: bool = False
    """Whether several processes keep a part of a learning network each, not all of it (`runtime.shard = "full"`)."""
    calls: JudgeCallsConfig = field(default_factory=JudgeCallsConfig)
    """How a judge's service is called."""
    fabric: Fabric = ALONE
    track: Callable[..., Tracker] = untracked
    """(journal, member) -> the tracker that a loop's figures are sent to, beside its logs."""
    trial: Trial | None = None
    """Set by `trueward profile` alone."""
    ranks: RankPool = field(default_factory=RankPool, compare=False, repr=False)
    """The other processes, who help rank 0 to sample while it evaluates."""
    remote: Remote = field(default=NOWHERE, compare=False, repr=False)
    """Samplers and scorers that are processes of their own."""
    pool: DecoderPool = field(default_factory=DecoderPool, compare=False, repr=False)

    @property
    def alone(self) -> Env:
        """The same for what rank 0 does while the other processes wait for it."""
        return self if self.fabric.is_alone else replace(self, fabric=ALONE)

    def load(self, place: Path | str, seed: int = 0) -> Network:
        """A policy that nothing trains, frozen. seed: of the random weights that some shipped models start from."""
        network = self._loaded(str(place), seed)
        self.ranks.note(str(place), seed, network)
        return network

    def _loaded(self, place: str, seed: int) -> Network:
        if self.shares:
            return shared_base.policy(place, seed, self.device, self.dtype, self.base_kept)
        network = loading.causal(place, seed, self.device, self.dtype)
        precision.keep(network.model.requires_grad_(False))
        return network
