"""Which actors a run has on a Ray cluster, and in which bundle of its placement group each lies. Nothing here loads Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trueward.config.ray import RayConfig


@dataclass(frozen=True)
class Placed:
    """One actor. role: `rank`, `sampler` or `scorer`. number: among those of its role. bundle: the place that holds it."""

    role: str
    number: int
    bundle: int
    cpus: int
    gpus: float

    @property
    def name(self) -> str:
        """What it is called in lines: rank 0, sampler 1."""
        return f"{self.role} {self.number}"


@dataclass(frozen=True)
class Placement:
    """All actors of a run, and what their bundles take."""

    actors: Sequence[Placed]

    @classmethod
    def of(cls, ray: RayConfig, on_gpus: bool) -> Placement:
        """As [runtime.ray] says. on_gpus: whether a bundle takes a GPU, too.

        split: a bundle an actor. colocated: a bundle a training process, and samplers and scorers are dealt out to them.

        >>> ray = RayConfig(ranks=2, samplers=2, scorers=1, placement="colocated")
        >>> [(each.name, each.bundle, round(each.gpus, 2)) for each in Placement.of(ray, True).actors]
        [('rank 0', 0, 0.33), ('rank 1', 1, 0.5), ('sampler 0', 0, 0.33), ('sampler 1', 1, 0.5), ('scorer 0', 0, 0.33)]
        """
        every = [("rank", i) for i in range(ray.ranks)]
        others = [("sampler", i) for i in range(ray.samplers)] + [("scorer", i) for i in range(ray.scorers)]
        is_split = ray.placement == "split"
        bundles = [
            *range(ray.ranks),
            *(ray.ranks + i if is_split else i % ray.ranks for i in range(len(others))),
        ]
        return cls(
            [
                Placed(role, number, bundle, ray.cpus, round(on_gpus / bundles.count(bundle), 4))
                for (role, number), bundle in zip([*every, *others], bundles, strict=True)
            ]
        )

    def of_role(self, role: str) -> list[Placed]:
        """The actors of one role, in order."""
        return [each for each in self.actors if each.role == role]

    def bundles(self) -> list[dict[str, float]]:
        """What each bundle takes of a node, as Ray names it."""
        count = 1 + max(each.bundle for each in self.actors)
        held = [[each for each in self.actors if each.bundle == i] for i in range(count)]
        return [
            {"CPU": float(sum(each.cpus for each in those)), **({"GPU": 1.0} if those[0].gpus else {})}
            for those in held
        ]

    def total(self) -> dict[str, float]:
        """What all bundles take together."""
        every = self.bundles()
        return {name: sum(bundle.get(name, 0.0) for bundle in every) for name in ("CPU", "GPU")}
