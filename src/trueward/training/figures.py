"""The figures of an optimiser's step: scalars that stay where they were computed until all of them are read at once."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from trueward import transfers
from trueward.parallel.fabric import ALONE, Fabric


def numbers(figures: Mapping[str, float | Tensor]) -> dict[str, float]:
    """Figures as numbers: an algorithm of the user's may leave scalars where they were computed."""
    return {name: value.item() if isinstance(value, Tensor) else value for name, value in figures.items()}


class Figures:
    """Scalars by name over the micro-batches of a step: sums, added up on the host in float64, and largest values."""

    def __init__(self) -> None:
        self._sums: dict[str, list[tuple[Tensor, float]]] = {}
        self._largest: dict[str, list[Tensor]] = {}
        self._alike: dict[str, Tensor] = {}

    def add(self, name: str, value: Tensor, count: float = 1.0) -> None:
        """Add a scalar, divided by `count`, to the figure `name`. With several processes it's a part of the sum."""
        self._sums.setdefault(name, []).append((value, count))

    def add_all(self, values: Mapping[str, Tensor]) -> None:
        """`add` each of them."""
        for name, value in values.items():
            self.add(name, value)

    def largest(self, name: str, value: Tensor) -> None:
        """The figure `name` is the largest number in these tensors, and at least 0."""
        if value.numel():
            self._largest.setdefault(name, []).append(value.max())

    def alike(self, name: str, value: Tensor) -> None:
        """A scalar that is the same in every process, such as the norm of the summed gradients."""
        self._alike[name] = value

    def read(self, fabric: Fabric = ALONE) -> dict[str, float]:
        """All figures of all processes: the one wait for the accelerator."""
        tensors = [value for parts in self._sums.values() for value, _ in parts]
        tensors += [value for parts in self._largest.values() for value in parts]
        numbers = iter([value.item() for value in transfers.read([*tensors, *self._alike.values()])])
        own: dict[str, float] = {}
        for name, parts in self._sums.items():
            own[name] = 0.0
            for _, count in parts:
                own[name] += next(numbers) / count
        for name, values in self._largest.items():
            own[name] = max(0.0, *(next(numbers) for _ in values))
        return fabric.figures(own, tuple(self._largest)) | {name: next(numbers) for name in self._alike}
