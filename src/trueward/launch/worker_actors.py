"""Samplers and scorers as actors, and the training processes' ways to ask them.

Ray itself starts an actor again that has died, and makes its outstanding call again: a request holds all that its answer
follows from, so the second answer is the first one's, and nothing of the first is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trueward.launch.creation import creation_line
from trueward.launch.folder import enter
from trueward.parallel.placement import Placed
from trueward.training.env import Remote

RETRIES = 3  # of one call whose actor has died; one that dies at every try is not well
OPTIONS = {"max_restarts": -1, "max_task_retries": RETRIES}
"""What Ray does about an actor that dies."""


class SamplerActor:
    """`SamplerWorker` in a process of its own."""

    def __init__(self, folder: str, threads: int) -> None:
        """folder: where the command was called. threads: that it computes with."""
        enter(folder)
        from trueward.pipeline.sampler_worker import SamplerWorker

        self.worker = SamplerWorker(threads)

    def load(self, request: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `SamplerWorker`."""
        return self.worker.load(request, weights)

    def sample(self, request: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """As `SamplerWorker`."""
        return self.worker.sample(request, weights)


class ScorerActor:
    """`ScorerWorker` in a process of its own."""

    def __init__(self, folder: str, run: str, threads: int) -> None:
        """folder: where the command was called. run: the run's directory. threads: that it computes with."""
        enter(folder)
        from trueward.pipeline.scorer_worker import ScorerWorker

        self.worker = ScorerWorker(run, threads)

    def score(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """As `ScorerWorker`."""
        return self.worker.score(rows)


class RaySamplers:
    """As `SamplerPool`. Weights go into Ray's object store once, from which the samplers of a machine read the same memory."""

    def __init__(self, actors: Sequence[Any]) -> None:
        self.actors, self.count = actors, len(actors)

    def put(self, weights: Mapping[str, np.ndarray]) -> Any:
        """As `SamplerPool`."""
        import ray

        return ray.put(dict(weights))

    def load(self, request: Mapping[str, Any], weights: Any) -> list[Mapping[str, Any]]:
        """As `SamplerPool`."""
        calls = {i: actor.load.remote(request, weights) for i, actor in enumerate(self.actors)}
        return list(answers("sampler", calls).values())

    def sample(self, requests: Mapping[int, Mapping[str, Any]], weights: Any) -> dict[int, Mapping[str, Any]]:
        """As `SamplerPool`."""
        return answers("sampler", {i: self.actors[i].sample.remote(each, weights) for i, each in requests.items()})


class RayScorers:
    """As `ScorerPool`."""

    def __init__(self, actors: Sequence[Any]) -> None:
        self.actors, self.count = actors, len(actors)

    def score(self, requests: Mapping[int, Sequence[Mapping[str, Any]]]) -> dict[int, Mapping[str, Any]]:
        """As `ScorerPool`."""
        return answers("scorer", {i: self.actors[i].score.remote(list(each)) for i, each in requests.items()})


def answers(role: str, calls: Mapping[int, Any]) -> dict[int, Any]:
    """What the calls give, by the actor's number.

    `ValueError` in one line that names the actor for what one of them raised, and for one that dies again and again.
    """
    import ray

    out = {}
    for number, call in calls.items():
        try:
            out[number] = ray.get(call)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            line = " ".join(str(cause).split()) or type(cause).__name__
            if isinstance(cause, (ValueError, OSError)):
                raise ValueError(f"{role} {number}: {line}") from None
            raise RuntimeError(f"{role} {number}: {type(cause).__name__}: {line}") from error
        except ray.exceptions.RayActorError as error:
            if why := creation_line(error):
                raise ValueError(f"{role} {number}: {why}") from None
            raise ValueError(
                f"{role} {number} has died {RETRIES + 1} times in a row; the same command goes on from the last checkpoint"
            ) from None
    return out


Pools = tuple[Sequence[Any], Sequence[Any]]
"""The actors that sample and those that score."""


def start(places: Sequence[Placed], place: Callable[..., Any], folder: str, run: str, threads: int) -> Pools:
    """Start the samplers and scorers among `places`. They load what they need when they are first asked."""
    samplers = [
        place(SamplerActor, each, **OPTIONS).remote(folder, threads) for each in places if each.role == "sampler"
    ]
    scorers = [
        place(ScorerActor, each, **OPTIONS).remote(folder, run, threads) for each in places if each.role == "scorer"
    ]
    return samplers, scorers


def remote(pools: Pools, leads: bool) -> Remote:
    """What a training process knows of them: rank 0, which `leads`, asks them for all."""
    samplers, scorers = pools
    return Remote(
        samplers=RaySamplers(samplers) if samplers and leads else None,
        scorers=RayScorers(scorers) if scorers and leads else None,
        has_samplers=bool(samplers),
        has_scorers=bool(scorers),
    )
