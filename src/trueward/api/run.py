"""`trueward.run`: a recipe's whole pipeline on disk, and what a run holds."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from trueward import artifacts, config
from trueward.api.frames import frame
from trueward.api.learned_reward import LearnedReward
from trueward.api.notebook import shown_progress
from trueward.api.policy import Policy, load_policy
from trueward.api.printed import printed
from trueward.api.reward import load_reward_model
from trueward.config import Recipe, ablations
from trueward.evaluation.contracts import Report
from trueward.evaluation.contracts.verdict import VerdictRow
from trueward.pipeline import KNOWN_STAGES, run_pipeline
from trueward.pipeline.announcements import announcements
from trueward.progress import Progress
from trueward.reporting import report as page
from trueward.reporting import verdict_text
from trueward.training.journal import BEST, EVALUATIONS, METRICS, ROLLOUTS, SAMPLES, Row, read_log

Settings = Mapping[str, Any]


class Run:
    """A run's directory. What isn't there yet is a `ValueError` that says which stage makes it."""

    def __init__(self, directory: str | Path) -> None:
        """directory: a run's, or its name under runs/."""
        places = (Path(directory), Path("runs") / directory)
        where = next((place for place in places if artifacts.is_run(place)), None)
        if where is None:
            raise ValueError(f"{directory}: there is no such run (neither a run's directory nor a name under runs/)")
        self.path: Path = where

    @property
    def name(self) -> str:
        return self.path.absolute().name

    @property
    def recipe(self) -> Recipe:
        """Its recipe, resolved."""
        return config.read(str(self.path / "recipe.toml"))

    @cached_property
    def table(self) -> Row:
        """report.json as it lies."""
        table: Row = artifacts.read_json(self._there(self.path / "report.json", "report"))
        return table

    @property
    def report(self) -> Report:
        """report.json, typed (docs/metrics.md)."""
        return Report.model_validate_json(json.dumps(self.table))

    @property
    def verdict(self) -> VerdictRow | None:
        """word, rule, numbers, best_step; None where no truth was measured."""
        return self.report.verdict

    @property
    def sentence(self) -> str:
        """The verdict in a sentence; empty where no truth was measured."""
        verdict = self.table.get("verdict")
        return verdict_text.sentence(verdict).replace("\u00a0", " ") if verdict else ""

    @property
    def evaluations(self) -> Any:
        """An evaluation of training a row: step, proxy, truth, kl, win_rate … in SDs under SFT and nats."""
        return self._frame(EVALUATIONS)

    @property
    def metrics(self) -> Any:
        """A training step a row (docs/metrics.md)."""
        return self._frame(METRICS)

    @property
    def samples(self) -> Any:
        """A held-out prompt and step a row, with the answer and its scores."""
        return self._frame(SAMPLES)

    @property
    def rollouts(self) -> Any:
        """Everything that was sampled to learn from, an answer a row, with its score and KL."""
        return self._frame(ROLLOUTS)

    @property
    def sft(self) -> Policy:
        """The SFT policy."""
        return self._model("sft", "sft/model")

    @property
    def policy(self) -> Policy:
        """The policy after the last step."""
        return self._model("policy", "policy/model")

    @property
    def best(self) -> Policy | None:
        """The checkpoint of the highest truth; None if no truth was measured."""
        self._there(self.path / "policy" / artifacts.MANIFEST, "policy")
        return self._model("policy", f"policy/{BEST}") if (self.path / "policy" / BEST).is_dir() else None

    @property
    def reward_model(self) -> LearnedReward:
        """The fitted proxy."""
        self._there(self.path / "reward_model" / artifacts.MANIFEST, "reward_model")
        return load_reward_model(self.path / "reward_model")

    def __str__(self) -> str:
        """The table and the lines that `trueward run` prints."""
        return printed(page.table(self.table), *page.summary(self.table))

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _frame(self, log: str) -> Any:
        self._there(self.path / "policy" / artifacts.MANIFEST, "policy")
        return frame(read_log(self.path / "policy" / log))

    def _model(self, stage: str, place: str) -> Policy:
        self._there(self.path / stage / artifacts.MANIFEST, stage)
        return load_policy(self.path / place)

    def _there(self, path: Path, stage: str) -> Path:
        if not path.is_file():
            raise ValueError(f"{self.path}: has no {stage} yet; the same trueward.run(...) goes on to it")
        return path


def run(
    recipe: str | Path = "reviews",
    settings: Settings | None = None,
    *,
    out: str | Path | None = None,
    until: str = "report",
    without: Sequence[str] = (),
    progress: bool = True,
    **sections: Settings | int,
) -> Run:
    """Run a recipe's pipeline to its report; the same call goes on where it was stopped, and reads what is finished.

    recipe: a shipped recipe's name or a TOML file. settings: what differs from it, `{"policy.kl_coef": 0.2}`; or by section,
    `policy={"kl_coef": 0.2}`, and `seed=1`. out: the run's directory; None: runs/NAME with what was changed in the name. until:
    the last stage to make. without: ablations (`trueward run --help` lists them).

    `ValueError` in one line for input that can't be used. Trains in this thread; not thread-safe.
    """
    if until not in KNOWN_STAGES:
        raise ValueError(f"trueward.run: until: expected one of {', '.join(KNOWN_STAGES)}, got {until!r}")
    changes = overrides(settings, sections)
    resolved = ablations.read(str(recipe), changes, list(without))
    directory = Path(out) if out is not None else Path("runs") / config.variant(resolved.name, changes)
    command = shlex.join(["trueward", "run", str(recipe), *(part for c in changes for part in ("--set", c))])
    if not progress:
        run_pipeline(resolved, directory.parent, directory.name, Progress(), until=until, command=command)
        return Run(directory)
    for note in announcements(resolved, directory):
        print(f"trueward: note: {note}", file=sys.stderr)
    with shown_progress() as told:
        run_pipeline(resolved, directory.parent, directory.name, told, until=until, command=command)
    return Run(directory)


def overrides(settings: Settings | None, sections: Mapping[str, Any]) -> list[str]:
    """Python values as `section.key=value`, in TOML's spelling, as `--set` takes them."""
    flat = dict(settings or {})
    for name, values in sections.items():
        if isinstance(values, Mapping):
            flat |= {f"{name}.{key}": value for key, value in values.items()}
        else:
            flat[name] = values
    return [f"{key}={config.as_toml(value, f'trueward: {key}')}" for key, value in flat.items()]
