"""A sampler: a process that holds an engine and a copy of the policy, and samples rollouts for the training processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward import config
from trueward.config import LoraConfig, Recipe, SamplerConfig
from trueward.models.derived import trainable
from trueward.models.lora import own_parameters
from trueward.models.network import Network
from trueward.pipeline.process import process_settings
from trueward.pipeline.rollouts import drawing_engine
from trueward.pipeline.surroundings import run_env
from trueward.progress import Progress
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.push_check import read_fixed
from trueward.sampling.remote import answered
from trueward.training.env import Env

Weights = Mapping[str, np.ndarray]
Request = Mapping[str, Any]


class SamplerWorker:
    """Answers `RemoteEngine`'s requests. What it holds follows from the request alone, so a new one answers the same."""

    def __init__(self, threads: int) -> None:
        """threads: that it computes with, unless the recipe says so."""
        self.threads = threads
        self.policy: Any = None  # the request's, that the copy was made from
        self.version = ""
        self.network: Network | None = None
        self.engine: LocalEngine | None = None
        self.pushes = 0
        self.stack = ExitStack()

    def load(self, request: Request, weights: Weights) -> dict[str, Any]:
        """Take the weights, and read the fixed tokens."""
        read = self._take(request, weights)
        return {"process": os.getpid(), "read": read}

    def sample(self, request: Request, weights: Weights) -> dict[str, Any]:
        """Sample the request's prompts; the fixed tokens are read too where the weights weren't here."""
        read = self._take(request, weights)
        assert self.engine is not None
        draws = Draws(request["draws"]["seed"], request["draws"]["of"], torch.tensor(request["draws"]["rows"]))
        prompts = [Prompt.model_validate(row) for row in request["prompts"]]
        return {"process": os.getpid(), "read": read, "rows": answered(self.engine.sample(prompts, draws))}

    def close(self) -> None:
        """End what the engine has started."""
        if self.engine is not None:
            self.engine.close()
        self.policy = self.engine = self.network = None
        self.version = ""
        self.stack.close()

    @torch.no_grad()
    def _take(self, request: Request, weights: Weights) -> list[list[float]] | None:
        """Hold the weights of the request's version. How the fixed tokens are read, or None if it held them before."""
        if self.policy != request["policy"]:
            self.close()
            self._make(request["policy"])
        if self.version == request["version"]:
            return None
        assert self.network is not None
        assert self.engine is not None
        mine = own_parameters(self.network.model)
        if mine.keys() != weights.keys():
            raise ValueError("sampler.engine: a sampler was given the weights of another network than it holds")
        for name, weight in mine.items():
            weight.copy_(torch.tensor(weights[name]))
        self.engine.pool.forget()  # which keeps layouts of the weights before
        self.pushes += 1
        self.engine.publish(self.network, self.pushes)
        self.version = request["version"]
        return read_fixed(self.network, request["fixed"])

    def _make(self, policy: Request) -> None:
        recipe = worker_recipe(Path(policy["run"]), self.threads)
        self.stack.enter_context(process_settings(recipe))
        env: Env = run_env(recipe, Progress(), tracked=False)
        lora = None if policy["lora"] is None else LoraConfig.model_validate(policy["lora"])
        self.network = trainable(env.load(Path(policy["sft"])), lora, policy["seed"])
        self.network.model.requires_grad_(False)
        sampler = SamplerConfig.model_validate(policy["sampler"])
        engine = sampler.engine.model_copy(update={"sync_every": 1, "max_staleness": 0})
        self.engine = drawing_engine(sampler.model_copy(update={"engine": engine}), lambda: policy["longest"], env)
        self.engine.hold(self.network)
        self.policy = policy


def worker_recipe(run: Path, threads: int) -> Recipe:
    """The recipe of a run as a process beside the training processes computes: alone, with so many threads."""
    recipe = config.read(str(run / "recipe.toml"))
    runtime = recipe.runtime.model_copy(update={"threads": threads, "shard": "none"})
    return recipe.model_copy(update={"runtime": runtime})
