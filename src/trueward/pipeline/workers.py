"""Several runs at once, each worker a process of its own that does one run after the other.

A worker reads one job a line from its standard input (a resolved recipe, the run's directory, the last stage) and
answers with one line on its standard output. It ends when its input does, so it outlives its parent by at most the
present job.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward import config
from trueward.config import Recipe
from trueward.progress import Progress
from trueward.signals import StoppedBySignal, stopped_by_signals

WORKER = "from trueward.pipeline import workers; workers.main()"


@dataclass(frozen=True)
class Job:
    """One run, up to the stage `until`."""

    recipe: Recipe
    home: Path
    name: str
    until: str = "report"
    command: str = ""

    def line(self) -> str:
        """The job as a line of JSON, for a worker."""
        return json.dumps({"recipe": self.recipe.table(), "home": str(self.home), "name": self.name,
                           "until": self.until, "command": self.command})  # fmt: skip

    @classmethod
    def parse(cls, line: str) -> Job:
        """The job of such a line."""
        row: dict[str, Any] = json.loads(line)
        recipe = config.resolve(row["recipe"], "recipe")
        return cls(recipe, Path(row["home"]), row["name"], row["until"], row["command"])


def run_jobs(jobs: Sequence[Job], workers: int, on_done: Callable[[Job, str], None]) -> dict[str, str]:
    """Do all jobs, at most `workers` at a time; returns the failed runs with their errors. The order makes no difference.

    on_done: called in this thread when a job is done, with "" or its error. With one worker, jobs run in this process.
    """
    failed: dict[str, str] = {}

    def done(job: Job, wrong: str) -> None:
        if wrong:
            failed[job.name] = wrong
        on_done(job, wrong)

    if workers == 1 or len(jobs) == 1:
        for job in jobs:
            done(job, run_job(job))
        return failed
    waiting, finished = queue.SimpleQueue[Job](), queue.SimpleQueue[tuple[Job, str]]()
    for job in jobs:
        waiting.put(job)
    count = min(workers, len(jobs))
    living: list[subprocess.Popen[str]] = []
    threads = [threading.Thread(target=_serve, args=(waiting, finished, living), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            done(*finished.get())
    except BaseException:  # stopped: what the workers are at is stopped too, and says so in its files
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.get_nowait()
        for worker in living:
            worker.terminate()
        raise
    finally:
        for thread in threads:
            thread.join()
    return failed


def _serve(
    waiting: queue.SimpleQueue[Job],
    finished: queue.SimpleQueue[tuple[Job, str]],
    living: list[subprocess.Popen[str]],
) -> None:
    """Feed one worker until no job is left; a worker that died is replaced for the next job. living: all that were begun."""
    worker: subprocess.Popen[str] | None = None
    while True:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            break
        if worker is None:
            worker = subprocess.Popen(  # noqa: S603 (a constant)
                [sys.executable, "-c", WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            living.append(worker)
        assert worker.stdin
        assert worker.stdout
        try:
            worker.stdin.write(job.line() + "\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            finished.put((job, json.loads(answer)["wrong"]))
        else:
            finished.put((job, f"the process that was at work on it ended with exit code {worker.wait()}"))
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()
            worker.stdout.close()
            worker = None
    if worker is not None:
        assert worker.stdin
        worker.stdin.close()
        worker.wait()
        assert worker.stdout
        worker.stdout.close()


def run_job(job: Job) -> str:
    """Do one job in this process; returns "" or its error, in one line."""
    from trueward.pipeline.run import run_pipeline

    try:
        run_pipeline(job.recipe, job.home, job.name, Progress(), until=job.until, command=job.command)
    except (ValueError, OSError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def main() -> None:
    """The worker: does the jobs of standard input."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # prints of libraries must not mix with the answers
    try:
        with stopped_by_signals():
            for text in sys.stdin:
                print(json.dumps({"wrong": run_job(Job.parse(text))}), file=out, flush=True)
    except StoppedBySignal as stop:
        sys.exit(128 + stop.number)
