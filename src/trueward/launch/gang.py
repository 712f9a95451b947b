"""The training processes of one run as actors: started together, ended together, started again when one has died."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trueward.launch.creation import creation_line
from trueward.launch.rank_actor import RankActor
from trueward.launch.told import DONE, FAILED, Event, raised, show
from trueward.parallel.placement import Placed
from trueward.progress import Progress
from trueward.signals import LostProcessError

Job = Mapping[str, Any]
Place = Callable[[type, Placed], Any]
"""Makes an actor of a class, where its place is; it takes the constructor's arguments."""
PARTING = 10.0  # seconds in which the others end by themselves, and say why, when one has


class DeadRankError(Exception):
    """Training processes have died. `ranks`: which."""

    def __init__(self, ranks: Sequence[int]) -> None:
        super().__init__(", ".join(f"rank {rank}" for rank in ranks))


class Gang:
    """All training processes. Each attempt has new ones; what they were at goes on from the last checkpoint."""

    def __init__(self, ranks: Sequence[Placed], place: Place, pools: tuple[Any, Any], progress: Progress) -> None:
        """ranks: their places, in order. place: makes an actor there. pools: the actors that sample and those that score.
        progress: shows what rank 0 tells."""
        self.ranks, self.place, self.pools, self.progress = ranks, place, pools, progress
        self.actors: list[Any] = []
        self.before: list[tuple[str, int]] = []

    def run(self, job: Job, max_restarts: int) -> None:
        """Run the job to its end. `LostProcessError` where processes have died more than `max_restarts` times."""
        for attempt in range(max_restarts + 1):
            try:
                self._attempt(job)
                return
            except DeadRankError as dead:
                if attempt == max_restarts:
                    times = (
                        f" ({attempt + 1} times in all, runtime.ray.max_restarts = {max_restarts})" if attempt else ""
                    )
                    raise LostProcessError(f"{dead} has ended{times}") from None
                self.progress.tell(
                    f"{dead} has ended: the training processes are started again, from the last checkpoint "
                    f"({attempt + 1} of {max_restarts} times)"
                )
            finally:
                self.end()

    def end(self) -> None:
        """End the actors that there are."""
        import ray

        for actor in self.actors:
            ray.kill(actor)
        self.actors = []

    def _attempt(self, job: Job) -> None:
        import ray

        self.actors = [self.place(RankActor, each).remote(os.getcwd()) for each in self.ranks]
        try:
            met = ray.get([actor.meet.remote(self.before) for actor in self.actors])
        except ray.exceptions.RayActorError as error:
            if why := creation_line(error):
                raise ValueError(f"--launch ray: {why}") from None
            raise DeadRankError([i for i, actor in enumerate(self.actors) if _is_dead(actor)] or [0]) from None
        self.before = [(each["host"], each["process"]) for each in met]
        surroundings = [variables(rank, met, bool(place.gpus)) for rank, place in enumerate(self.ranks)]
        streams = [
            actor.run.options(num_returns="streaming").remote(job, given, self.pools)
            for actor, given in zip(self.actors, surroundings, strict=True)
        ]
        self._follow(streams)

    def _follow(self, streams: Sequence[Any]) -> None:
        """Show what rank 0 tells until all have ended. `DeadRankError`, or what one of them raised."""
        import ray

        open_streams = dict(enumerate(streams))
        ends: dict[int, Event] = {}
        dead: list[int] = []
        until: float | None = None
        while open_streams:
            left = None if until is None else max(0.0, until - time.monotonic())
            ready, _ = ray.wait(list(open_streams.values()), timeout=left, fetch_local=False)
            if not ready and until is not None:
                break
            for rank, stream in list(open_streams.items()):
                if stream not in ready:
                    continue
                try:
                    event = ray.get(next(stream))
                except StopIteration:
                    del open_streams[rank]
                    continue
                except ray.exceptions.RayActorError:
                    dead.append(rank)
                    del open_streams[rank]
                    until = until or time.monotonic() + PARTING
                    continue
                if event[0] in (DONE, FAILED):
                    ends[rank] = event
                    until = until or (time.monotonic() + PARTING if event[0] == FAILED else None)
                elif not rank:
                    show(event, self.progress)
        if dead:
            raise DeadRankError(dead)
        raise_first(ends, len(streams))


def raise_first(ends: Mapping[int, Event], world: int) -> None:
    """Raise what one process raised: what it says of itself before what others say of it. Nothing if all ended well."""
    wrong = [(rank, end[1], end[2]) for rank, end in sorted(ends.items()) if end[0] == FAILED]
    own = [each for each in wrong if each[1] not in ("LostProcessError", "SystemExit")]
    for rank, kind, text in own or wrong:
        if kind != "SystemExit":
            raise raised(kind, f"rank {rank}: {text}" if rank else text)
    if absent := [rank for rank in range(world) if ends.get(rank, [FAILED])[0] != DONE]:
        raise DeadRankError(absent)


def variables(rank: int, met: Sequence[Mapping[str, Any]], on_gpu: bool) -> dict[str, str]:
    """What torchrun would tell this process of the others. on_gpu: Ray shows it one GPU alone, which is number 0."""
    hosts = [each["host"] for each in met]
    beside = [i for i, host in enumerate(hosts) if host == hosts[rank]]
    is_one_machine = len(set(hosts)) == 1
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(len(met)),
        "LOCAL_RANK": "0" if on_gpu else str(beside.index(rank)),
        "LOCAL_WORLD_SIZE": "1" if on_gpu else str(len(beside)),
        "MASTER_ADDR": "127.0.0.1" if is_one_machine else met[0]["address"],
        "MASTER_PORT": str(met[0]["port"]),
        "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
    }


def _is_dead(actor: Any) -> bool:
    import ray

    try:
        ray.get(actor.meet.remote([]), timeout=PARTING)
    except (ray.exceptions.RayActorError, ray.exceptions.GetTimeoutError):
        return True
    return False
