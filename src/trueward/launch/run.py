"""`trueward run --launch ray`: a run whose training processes are actors on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trueward import artifacts
from trueward.artifacts import Artifact
from trueward.config import Recipe
from trueward.launch.cluster import connected
from trueward.launch.gang import Gang
from trueward.launch.worker_actors import start
from trueward.parallel.placement import Placed, Placement
from trueward.pipeline.requirements import require_extras
from trueward.pipeline.run import check_until
from trueward.progress import Progress


def run_by_ray(
    recipe: Recipe,
    home: Path,
    name: str,
    progress: Progress,
    *,
    until: str = "report",
    command: str = "",
    address: str = "",
) -> Artifact:
    """As `run_pipeline`, by actors that are placed as [runtime.ray] says. address: of a cluster that runs already.

    `ValueError` in one line where there is no such cluster, or where it is too small.
    """
    check_until(recipe, until)
    require_extras(recipe)
    ray = recipe.runtime.ray
    with connected(address, Placement.of(ray, False).total()["CPU"]) as where:
        placement = Placement.of(ray, uses_gpus(recipe))
        refuse_small(placement)
        with places(placement, progress) as place:
            progress.tell(sentence(placement, where))
            given = job(recipe, home, name, until, command)
            run = str((home / name).absolute())
            pools = start(placement.actors, place, os.getcwd(), run, recipe.runtime.threads or ray.cpus)
            Gang(placement.of_role("rank"), place, pools, progress).run(given, ray.max_restarts)
    artifact = artifacts.load(home / name / until)
    if artifact is None:
        raise ValueError(f"{home / name / until}: written by the training processes, and not seen here; give all machines "
                         "of the cluster the same file system")  # fmt: skip
    return artifact


def job(recipe: Recipe, home: Path, name: str, until: str, command: str) -> Mapping[str, Any]:
    """What every training process is given. Threads are an actor's own cores, unless the recipe sets them."""
    runtime = recipe.runtime
    if not runtime.threads:
        recipe = recipe.model_copy(update={"runtime": runtime.model_copy(update={"threads": runtime.ray.cpus})})
    return {"recipe": recipe.table(), "home": str(home.absolute()), "name": name, "until": until, "command": command}


def uses_gpus(recipe: Recipe) -> bool:
    """Whether actors take GPUs: where the cluster has some, and the recipe doesn't ask for another device."""
    import ray

    device = recipe.runtime.device
    return ray.cluster_resources().get("GPU", 0) > 0 and (device == "auto" or device.startswith("cuda"))


def refuse_small(placement: Placement) -> None:
    """`ValueError` for a cluster that could never hold all actors."""
    import ray

    there, asked_for = ray.cluster_resources(), placement.total()
    for name, what in (("CPU", "cores"), ("GPU", "GPUs")):
        if asked_for[name] > there.get(name, 0.0):
            raise ValueError(
                f"--launch ray: runtime.ray asks for {asked_for[name]:g} {what}, and the cluster has {there.get(name, 0.0):g}"
            )


@contextmanager
def places(placement: Placement, progress: Progress) -> Iterator[Callable[[type, Placed], Any]]:
    """A placement group, and what makes actors in it, as long as the scope is open."""
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    group = placement_group(placement.bundles(), strategy="PACK")
    try:
        if not group.wait(5):
            progress.tell("the cluster is busy: waiting for room")
            ray.get(group.ready())

        def place(kind: type, where: Placed, **options: Any) -> Any:
            strategy = PlacementGroupSchedulingStrategy(group, where.bundle)
            resources = {"num_cpus": where.cpus, "num_gpus": where.gpus, "scheduling_strategy": strategy}
            return ray.remote(kind).options(**resources, **options)

        yield place
    finally:
        remove_placement_group(group)


def sentence(placement: Placement, where: str) -> str:
    """What is placed, for people."""
    counts = {role: len(placement.of_role(role)) for role in ("rank", "sampler", "scorer")}
    names = {"rank": "training process", "sampler": "sampler", "scorer": "scorer"}
    listed = [f"{n} {names[role]}{('es' if role == 'rank' else 's') * (n != 1)}" for role, n in counts.items() if n]
    first = ", ".join(listed[:-1])
    return f"Ray, {where}: {f'{first} and ' if first else ''}{listed[-1]}"
