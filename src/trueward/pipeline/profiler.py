"""Watches a run from outside: nothing in the loops knows of it. The clock is in stage_clock.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from trueward.batches import Step, Tokens
from trueward.models import heads
from trueward.models.fast import packed
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.pipeline.cache import RunCache
from trueward.pipeline.stage_clock import Clock, CountingDecoder
from trueward.sampling import sampler
from trueward.scorers.scorer import ScoredBatch
from trueward.training import driver
from trueward.training.driver import EvalSchedule
from trueward.training.setup import Algorithm
from trueward.training.state import State


class FirstSteps:
    """An algorithm of which the clock sees, and takes, the first steps alone."""

    def __init__(self, algorithm: Algorithm, clock: Clock) -> None:
        self.algorithm, self.clock = algorithm, clock

    def steps(self, config: Any, setup: Any) -> int:
        return min(self.algorithm.steps(config, setup), self.clock.most)

    def start(self, config: Any, setup: Any) -> State:
        return self.algorithm.start(config, setup)

    def train(self, config: Any, setup: Any, state: State) -> Iterator[Step]:
        return self.clock.loop(self.algorithm.train(config, setup, state))


@contextmanager
def watching(clock: Clock) -> Iterator[None]:
    """While it runs, the clock sees every stage, and a training loop ends after the clock's number of steps."""
    draw, decode, of, parts = sampler.sample, sampler.decoder_for, ScoredBatch.of, Fabric.by_parts
    drive, made = driver.drive, RunCache.make
    states, laid, head = packed.states, packed.layout, heads.logprobs_of

    def sample(*given: Any, **named: Any) -> Any:
        with clock.during("act"):
            clock.draws = True
            try:
                return draw(*given, **named)
            finally:
                clock.draws = False

    def decoder_for(network: Network, quantize: str = "none") -> Any:
        size = {"int8": 1.0, "bfloat16": 2.0}.get(quantize, 4.0)
        return CountingDecoder(decode(network, quantize), network.model, clock, size)

    def scored(*given: Any) -> Any:
        with clock.during("judge"):
            return of(*given)

    def by_parts(*given: Any) -> Any:
        with clock.during("judge"):
            return parts(*given)

    def driving(
        algorithm: Algorithm,
        config: Any,
        setup: Any,
        journal: Any,
        env: Any,
        evaluation: EvalSchedule | None = None,
        **named: Any,
    ) -> Any:
        schedule = evaluation
        if schedule is not None:
            measure = schedule.evaluate

            def evaluate(step: int) -> Any:
                with clock.during("evaluate"):
                    return measure(step)

            schedule = replace(schedule, evaluate=evaluate)
        clock.counts.total += algorithm.steps(config, setup)
        return drive(FirstSteps(algorithm, clock), config, setup, journal, env, schedule, **named)

    def make(cache: RunCache, stage: Any, *given: Any) -> Any:
        with clock.stage(stage.name):
            return made(cache, stage, *given)

    def read(model: Any, *given: Any) -> Any:
        def layout(tokens: Tokens, where: Tensor, dtype: torch.dtype = torch.float32) -> packed.Layout:
            place = laid(tokens, where, dtype)
            clock.before_packed(model, len(place.ids))
            return place

        packed.layout, clock.packed = layout, True
        try:
            return states(model, *given)
        finally:
            packed.layout, clock.packed = laid, False
            clock.after_packed()

    def logprobs_of(model: Any, at: Tensor, *given: Any) -> Any:
        clock.before_head(model.get_output_embeddings().weight, len(at))
        return head(model, at, *given)

    with ExitStack() as stack:
        hooks = (
            register_module_forward_pre_hook(clock.before_pass),
            register_module_forward_hook(clock.after_pass, always_call=True),
            register_optimizer_step_post_hook(clock.after_step),
        )
        for hook in hooks:
            stack.callback(hook.remove)
        for place, name, new in (
            (sampler, "sample", sample),
            (sampler, "decoder_for", decoder_for),
            (ScoredBatch, "of", staticmethod(scored)),
            (packed, "states", read),
            (heads, "logprobs_of", logprobs_of),
            (Fabric, "by_parts", by_parts),
            (driver, "drive", driving),
            (RunCache, "make", make),
        ):
            stack.callback(setattr, place, name, vars(place)[name])
            setattr(place, name, new)
        yield
