"""`trueward.sweep`, `frontier` and `doctor`: what several runs, or a run's stages, say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trueward import artifacts, config
from trueward.api.frames import frame
from trueward.api.notebook import shown_progress
from trueward.api.printed import printed
from trueward.api.run import Run, overrides
from trueward.evaluation import frontier as frontiers
from trueward.evaluation.doctor import Diagnosis
from trueward.evaluation.frontier import FrontierRun
from trueward.pipeline.doctor_inputs import diagnose_run
from trueward.pipeline.sweep import Over
from trueward.pipeline.sweep import sweep as run_sweep
from trueward.progress import Progress
from trueward.reporting import doctor_text, frontier_page, sweep_page


class Sweep:
    """A sweep's result: sweep.json as `table`; printed, it is the terminal's table with the advice."""

    def __init__(self, table: dict[str, Any], path: Path) -> None:
        self.table, self.path = table, path

    @property
    def runs(self) -> Any:
        """A run a row: value, seed, truth, proxy, kl, verdict …"""
        return frame(self.table["runs"])

    @property
    def points(self) -> Any:
        """A value a row, over its seeds."""
        return frame(self.table["points"])

    @property
    def best(self) -> Any:
        """The value that is advised; None if there's none."""
        advice = self.table.get("advice") or {}
        return advice.get("best")

    @property
    def sentence(self) -> str:
        """The advice in words."""
        return str(self.table["sentence"]).replace("\u00a0", " ")

    def __str__(self) -> str:
        return printed(sweep_page.table(self.table), self.sentence)

    def __repr__(self) -> str:
        return f"Sweep({str(self.path)!r})"


class Frontier:
    """Several runs of one task: truth and proxy against the distance from SFT."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table

    @property
    def runs(self) -> Any:
        """A run (or its seeds together) a row, the highest truth first."""
        return frame(self.table["runs"])

    def save(self, path: str | Path) -> Path:
        """The page: one HTML file that needs no network."""
        artifacts.write_text(Path(path), frontier_page.page(self.table))
        return Path(path)

    def __str__(self) -> str:
        lines = [frontier_page.headline(self.table), *self.table["notes"]]
        return printed(frontier_page.table(self.table), *lines)


class Doctor:
    """What is wrong with a run, the stage at fault first: `findings`, `checked` and `not_checked`; printed, in words."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self.diagnosis = diagnosis

    @property
    def findings(self) -> list[dict[str, Any]]:
        """fault, evidence (figures by name), because, advice."""
        rows: list[dict[str, Any]] = self.diagnosis.table()["findings"]
        return rows

    @property
    def table(self) -> dict[str, Any]:
        """As `trueward doctor --json` prints it."""
        return self.diagnosis.table()

    def __str__(self) -> str:
        return "\n".join(doctor_text.lines(self.diagnosis))


def sweep(
    recipe: str | Path,
    over: Mapping[str, Sequence[Any]] | str,
    settings: Mapping[str, Any] | None = None,
    *,
    seeds: int = 1,
    jobs: int = 1,
    out: str | Path | None = None,
    progress: bool = True,
    **sections: Any,
) -> Sweep:
    """One policy for each value of a setting and seed; what they share is made once, and the same call goes on.

    over: `{"policy.kl_coef": [0, 0.1, 0.3]}`, or as `--over` has it. settings, sections: as for `trueward.run`. seeds: for each
    value, from the recipe's own upward. jobs: runs at a time, each a process of its own. out: None: runs/sweep-NAME.
    """
    if isinstance(over, str):
        parsed = Over.parse(over)
    else:
        if len(over) != 1:
            raise ValueError(f"trueward.sweep: over: expected one setting with its values, got {len(over)}")
        ((key, values),) = over.items()
        parsed = Over(key, tuple(config.as_toml(v, f"trueward.sweep: over {key}") for v in values))
    if seeds < 1 or jobs < 1:
        raise ValueError("trueward.sweep: seeds and jobs: expected at least 1")
    changes = overrides(settings, sections)
    name = config.variant(Path(recipe).stem, [parsed.key, *changes])
    home = Path("runs") / f"sweep-{name}" if out is None else Path(out)
    if not progress:
        return Sweep(run_sweep(str(recipe), changes, parsed, seeds, jobs, home, Progress()), home)
    with shown_progress() as told:
        return Sweep(run_sweep(str(recipe), changes, parsed, seeds, jobs, home, told), home)


def frontier(runs: Sequence[Run | str | Path]) -> Frontier:
    """Several finished runs of one task in one table and on one page."""
    return Frontier(frontiers.frontier([_finished(run if isinstance(run, Run) else Run(run)) for run in runs]))


def doctor(run: Run | str | Path) -> Doctor:
    """Diagnose a run, finished or not: which stage is at fault, the evidence for it, which setting to change."""
    return Doctor(diagnose_run((run if isinstance(run, Run) else Run(run)).path))


def _finished(run: Run) -> FrontierRun:
    rows = artifacts.read_json(run.path / artifacts.PIPELINE)
    return FrontierRun(run.name, run.table, {row["name"]: row["digest"] for row in rows})
