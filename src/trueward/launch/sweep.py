"""`trueward sweep --launch ray`: the runs of a sweep as tasks on a Ray cluster, as many at once as it has room for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from trueward.launch.cluster import connected
from trueward.launch.folder import enter
from trueward.launch.run import uses_gpus
from trueward.pipeline.sweep import RunJobs
from trueward.pipeline.workers import Job, run_job

RETRIES = 3  # of a run whose process has died; it goes on from its last checkpoint


@contextmanager
def jobs_by_ray(address: str) -> Iterator[RunJobs]:
    """As `workers.run_jobs`, on a cluster, as long as the scope is open. address: of one that runs already.

    A run takes as many cores as it has threads, and a GPU where the cluster has some and the recipe asks for no other device.
    """
    with connected(address, os.cpu_count() or 1):
        yield run_jobs


def run_jobs(jobs: Sequence[Job], workers: int, on_done: Callable[[Job, str], None]) -> dict[str, str]:
    """Do all jobs; returns the failed runs with their errors. workers: not used, the cluster says how many at once."""
    import ray

    task = ray.remote(run_in_task)
    left = {}
    for job in jobs:
        resources = {"num_cpus": job.recipe.runtime.threads or 1, "num_gpus": int(uses_gpus(job.recipe))}
        left[task.options(**resources, max_retries=RETRIES).remote(os.getcwd(), job.line())] = job
    failed: dict[str, str] = {}
    while left:
        (ready, *_), _ = ray.wait(list(left))
        job = left.pop(ready)
        try:
            wrong = ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            wrong = f"{type(cause).__name__}: {' '.join(str(cause).split())}"
        except ray.exceptions.RayError:
            wrong = f"the process that was at work on it has died {RETRIES + 1} times"
        if wrong:
            failed[job.name] = wrong
        on_done(job, wrong)
    return failed


def run_in_task(folder: str, line: str) -> str:
    """One job in a process of the cluster; returns "" or its error. folder: where the command was called. line: `Job.line`."""
    enter(folder)
    return run_job(Job.parse(line))
