"""`trueward.run`: a recipe's whole pipeline on disk, and what a run holds."""

from __future__ import annotations

import json
import shlex
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
from trueward.progress import note as tell
from trueward.reporting import report as page
from trueward.reporting import verdict_text
from trueward.training.journal import BEST, EVALUATIONS, METRICS, ROLLOUTS, SAMPLES, Row, read_log

Settings = Mapping[str, Any]


class Run:
    """A run on disk: its numbers, its logs and its models, each read when it is asked for. Printed, it is the table
    of its report.

    What a run doesn't have yet is a `ValueError` that says so. Logs are pandas frames where pandas is installed, else
    lists of dicts; docs/metrics.md explains each column.
    """

    def __init__(self, directory: str | Path) -> None:
        """Open a run, finished or not.

        Args:
            directory: Its directory, or its name under runs/.

        Raises:
            ValueError: If there is no such run.
        """
        places = (Path(directory), Path("runs") / directory)
        where = next((place for place in places if artifacts.is_run(place)), None)
        if where is None:
            raise ValueError(f"{directory}: there is no such run (neither a run's directory nor a name under runs/)")
        self.path: Path = where
        """Its directory."""

    @property
    def name(self) -> str:
        """The directory's name, which says what was changed in the recipe."""
        return self.path.absolute().name

    @property
    def recipe(self) -> Recipe:
        """Its recipe with every setting: `run.recipe.policy.kl_coef`."""
        return config.read(str(self.path / "recipe.toml"))

    @cached_property
    def table(self) -> Row:
        """report.json as a dict."""
        table: Row = artifacts.read_json(self._there(self.path / "report.json", "report"))
        return table

    @property
    def report(self) -> Report:
        """report.json with typed fields: `run.report.reward_model` …"""
        return Report.model_validate_json(json.dumps(self.table))

    @property
    def verdict(self) -> VerdictRow | None:
        """The verdict: its `word`, the `rule` that gave it, the `numbers` that decided, `best_step`; None if no truth
        was measured."""
        return self.report.verdict

    @property
    def sentence(self) -> str:
        """The verdict in a sentence; empty if no truth was measured."""
        verdict = self.table.get("verdict")
        return verdict_text.sentence(verdict).replace("\u00a0", " ") if verdict else ""

    @property
    def evaluations(self) -> Any:
        """An evaluation on held-out prompts a row: step, proxy, truth (SDs under SFT), kl (nats), win_rate … with
        standard errors."""
        return self._frame(EVALUATIONS)

    @property
    def metrics(self) -> Any:
        """A training step a row."""
        return self._frame(METRICS)

    @property
    def samples(self) -> Any:
        """A held-out prompt and step a row, with the answer and its scores."""
        return self._frame(SAMPLES)

    @property
    def rollouts(self) -> Any:
        """Every answer that was sampled to learn from a row, with its score and KL."""
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
        """The checkpoint with the highest truth in training, step 0 aside; None if no truth was measured."""
        self._there(self.path / "policy" / artifacts.MANIFEST, "policy")
        return self._model("policy", f"policy/{BEST}") if (self.path / "policy" / BEST).is_dir() else None

    @property
    def reward_model(self) -> LearnedReward:
        """The fitted reward model. `ValueError` if the run's reward is a program."""
        if (kind := self.recipe.reward.kind) != "reward_model":
            raise ValueError(f"{self.path}: its reward is no fitted model (reward.kind = {kind!r})")
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
    """Run a recipe's whole pipeline on disk: data, SFT, comparisons, reward model, policy, evaluation, report.

    The same call goes on where it was stopped, and reads what is finished; stages that runs under one directory have
    in common are made once. Trains in this thread; not thread-safe.

    Args:
        recipe: The name of a recipe that ships (`trueward recipes` lists them), or a TOML file.
        settings: What differs from it, by full name: `{"policy.kl_coef": 0.2}`.
        out: The run's directory. None: runs/NAME, with what was changed in the name.
        until: The last stage to make: prepare, sft, comparisons, reward_model (or reward), policy, evaluation or
            report.
        without: Ablations by name, each of which takes a part of the pipeline away (docs/failures.md).
        progress: Whether to show progress, as in `trueward.sft`.
        **sections: The same by section, `policy={"kl_coef": 0.2}`; and `seed=1`.

    Returns:
        The run.

    Raises:
        ValueError: In one line, before anything is run, for a recipe or a setting that can't be used; in the course
            of it, for data that can't, or where the run waits for people.
    """
    if until not in KNOWN_STAGES:
        raise ValueError(f"trueward.run: until: expected one of {', '.join(KNOWN_STAGES)}, got {until!r}")
    changes = overrides(settings, sections)
    resolved = ablations.read(str(recipe), changes, list(without))
    directory = Path(out) if out is not None else Path("runs") / config.variant(resolved.name, changes)
    command = _command(recipe, changes, without, out)
    if not progress:
        run_pipeline(resolved, directory.parent, directory.name, Progress(), until=until, command=command)
        return Run(directory)
    for note in announcements(resolved, directory):
        tell(note)
    with shown_progress() as told:
        run_pipeline(resolved, directory.parent, directory.name, told, until=until, command=command)
    return Run(directory)


def _command(recipe: str | Path, changes: Sequence[str], without: Sequence[str], out: str | Path | None) -> str:
    """The command line that makes the same run, for its report."""
    words = ["trueward", "run", str(recipe)]
    words += [word for change in changes for word in ("--set", change)]
    words += [word for name in without for word in ("--without", name)]
    return shlex.join([*words, *([] if out is None else ["--out", str(out)])])


def overrides(settings: Settings | None, sections: Mapping[str, Any]) -> list[str]:
    """Python values as `section.key=value`, in TOML's spelling, as `--set` takes them."""
    flat = dict(settings or {})
    for name, values in sections.items():
        if isinstance(values, Mapping):
            flat |= {f"{name}.{key}": value for key, value in values.items()}
        else:
            flat[name] = values
    return [f"{key}={config.as_toml(value, f'trueward: {key}')}" for key, value in flat.items()]
