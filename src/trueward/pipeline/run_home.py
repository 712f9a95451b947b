"""The run that a model belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trueward import artifacts, config
from trueward.config import Recipe
from trueward.pipeline import sources
from trueward.pipeline.parts import Parts
from trueward.scorers.user_function import Columns


@dataclass(frozen=True)
class RunHome:
    """The run that a model belongs to: its held-out prompts, scorers and scale."""

    run: Path
    recipe: Recipe

    @classmethod
    def of(cls, model: str) -> RunHome | None:
        """The run of a model, by its path or name; None if it belongs to none."""
        for path in (Path(model), Path("runs") / model):
            for run in (path, *list(path.parents)[:3]):
                if artifacts.is_run(run) and (run / "recipe.toml").is_file():
                    return cls(run, config.read(str(run / "recipe.toml")))
        return None

    @cached_property
    def columns(self) -> Columns:
        """Columns of its prompts' rows, if it has scorers of the user's own, which may ask for them."""
        return sources.read(self.recipe).columns if Parts(self.recipe).reads_columns else {}

    def named(self) -> list[str]:
        """The names of its scorers: the truths, and the proxy."""
        proxy = ["proxy"] if any(artifacts.load(self.run / stage) for stage in ("reward_model", "reward")) else []
        return [*(t for t in self.recipe.evaluation.truths if not t.startswith("people:")), *proxy]
