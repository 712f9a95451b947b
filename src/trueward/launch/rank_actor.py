"""A training process as an actor: the ordinary pipeline, beside the others by torch.distributed, as under torchrun."""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trueward import config
from trueward.launch.folder import enter
from trueward.launch.told import DONE, Event, ToldProgress, failed, printing

Job = Mapping[str, Any]
LONGEST = 30.0  # seconds that an older process of the same run may take to end


class RankActor:
    """One of the training processes. Ray calls its methods, one after the other."""

    def __init__(self, folder: str) -> None:
        """folder: where the command was called, which relative paths of the recipe start from."""
        enter(folder)

    def meet(self, before: Sequence[tuple[str, int]]) -> dict[str, Any]:
        """Where this process is, and a free port on its machine. before: (host, process) of an earlier gang's, which have to
        have ended: they hold the run's lock."""
        import ray

        host = socket.gethostname()
        until = time.monotonic() + LONGEST
        while any(there == host and Path(f"/proc/{process}").exists() for there, process in before):
            if time.monotonic() > until:
                break  # the lock says who is at work
            time.sleep(0.05)
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        address = ray.util.get_node_ip_address()
        return {"host": host, "process": os.getpid(), "address": address, "port": port}

    def run(self, job: Job, variables: Mapping[str, str], pools: tuple[Any, Any]) -> Iterator[Event]:
        """Run the pipeline; what it tells comes as it's told, and how it ended as the last event.

        job: the recipe's table, the run's `home`, `name` and `command`, the last stage `until`. variables: who of how many
        this is, and where they meet, as torchrun says it. pools: the actors that sample and those that score.
        """
        events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

        def work() -> None:
            os.environ.update(variables)
            leads = variables["RANK"] == "0"
            try:
                with printing(events.put if leads else lambda event: None):
                    end = run(job, ToldProgress(events.put), pools, leads)
            except BaseException as error:
                end = failed(error)
            events.put(end)
            events.put(None)

        threading.Thread(target=work, daemon=True).start()
        while (event := events.get()) is not None:
            yield event


def run(job: Job, progress: ToldProgress, pools: tuple[Any, Any], leads: bool) -> Event:
    """The pipeline in this process."""
    from trueward.launch.worker_actors import remote
    from trueward.pipeline.run import run_pipeline

    recipe = config.resolve(job["recipe"], "recipe")
    home = Path(job["home"])
    more = {"until": job["until"], "command": job["command"], "remote": remote(pools, leads)}
    run_pipeline(recipe, home, job["name"], progress, **more)
    return [DONE]
