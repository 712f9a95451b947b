"""`trueward.sweep`, `frontier` and `doctor`: what several runs, or a run's stages, say together."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
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
    """A sweep's result, as `trueward.sweep` returns it. Printed, it is the table with the advice."""

    def __init__(self, table: dict[str, Any], path: Path) -> None:
        self.table = table
        """sweep.json as a dict."""
        self.path = path
        """The directory, with sweep.html and a run for each value and seed."""

    @property
    def runs(self) -> Any:
        """A run a row: value, seed, truth, proxy, kl, verdict …; a pandas frame, or without pandas a list of dicts."""
        return frame(self.table["runs"])

    @property
    def points(self) -> Any:
        """A value a row, with means over its seeds."""
        return frame(self.table["points"])

    @property
    def best(self) -> Any:
        """The value that the sweep advises; None if it advises none."""
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
    """Several runs of one task, truth and proxy against the KL from SFT: what `trueward.frontier` returns. Printed,
    it is the table."""

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table
        """All figures, as `trueward frontier --json` prints them."""

    @property
    def runs(self) -> Any:
        """A run a row, or all seeds of a run, the highest truth first; a pandas frame, or without pandas a list of
        dicts."""
        return frame(self.table["runs"])

    def save(self, path: str | Path) -> Path:
        """Write the page with the plot: one HTML file that needs no network.

        Args:
            path: The file, written anew if it is there.

        Returns:
            The path.
        """
        artifacts.write_text(Path(path), frontier_page.page(self.table))
        return Path(path)

    def __str__(self) -> str:
        lines = [frontier_page.headline(self.table), *self.table["notes"]]
        return printed(frontier_page.table(self.table), *lines)

    def __repr__(self) -> str:
        return f"Frontier({', '.join(str(row['run']) for row in self.table['runs'])})"


class Doctor:
    """What is wrong with a run, the lowest stage at fault first: what `trueward.doctor` returns. Printed, it is said
    in words."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self.diagnosis = diagnosis
        """The same, typed: findings, faults that were checked, and those that could not be, with the reason."""

    @property
    def findings(self) -> list[dict[str, Any]]:
        """One dict for each fault: `fault`, `evidence` (figures by name), `because` in words, `advice`
        (settings to change, with their values); empty if nothing is wrong."""
        rows: list[dict[str, Any]] = self.diagnosis.table()["findings"]
        return rows

    @property
    def table(self) -> dict[str, Any]:
        """All of it as a dict: `findings`, `checked`, `not_checked`, as `trueward doctor --json` prints them."""
        return self.diagnosis.table()

    def __str__(self) -> str:
        return "\n".join(doctor_text.lines(self.diagnosis))

    def __repr__(self) -> str:
        return f"Doctor({', '.join(finding.fault for finding in self.diagnosis.findings) or 'nothing found'})"


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
    """Train a policy for each value of a setting and each seed, and say which value is best.

    What the runs share is made once; the same call goes on where it was stopped. Not thread-safe.

    Args:
        recipe: The name of a recipe that ships, or a TOML file.
        over: One setting with its values, `{"policy.kl_coef": [0, 0.1, 0.3]}` or `"policy.kl_coef=0,0.1,0.3"`.
        settings: What differs from the recipe in all runs, as for `trueward.run`.
        seeds: Seeds for each value, from the recipe's own upward.
        jobs: Runs at a time, each in a process of its own with its share of the cores.
        out: The sweep's directory. None: runs/sweep-NAME.
        progress: Whether to show progress, as in `trueward.sft`.
        **sections: The same as `settings`, by section.

    Returns:
        The sweep: print it, or take `points`, `runs`, `best`.

    Raises:
        ValueError: In one line, before anything is run, for a setting or a value that can't be used.
    """
    parsed = _over(over)
    if seeds < 1 or jobs < 1:
        raise ValueError("trueward.sweep: seeds and jobs: expected at least 1")
    changes = overrides(settings, sections)
    name = config.variant(Path(recipe).stem, [parsed.key, *changes])
    home = Path("runs") / f"sweep-{name}" if out is None else Path(out)
    values = f"{parsed.key}={','.join(parsed.values)}"
    sets = [part for change in changes for part in ("--set", change)]
    options = ["--over", values, "--seeds", str(seeds), "--jobs", str(jobs), "--out", str(home), *sets]
    command = shlex.join(["trueward", "sweep", str(recipe), *options])
    if not progress:
        return Sweep(run_sweep(str(recipe), changes, parsed, seeds, jobs, home, Progress(), command), home)
    with shown_progress() as told:
        return Sweep(run_sweep(str(recipe), changes, parsed, seeds, jobs, home, told, command), home)


def _over(over: Mapping[str, Sequence[Any]] | str) -> Over:
    """The setting with its values. `ValueError` for what can't be swept."""
    where = "trueward.sweep: over"
    if isinstance(over, str):
        return Over.parse(over)
    if len(over) != 1:
        raise ValueError(f"{where}: expected one setting with its values, got {len(over)}")
    ((key, values),) = over.items()
    if key == "seed":
        raise ValueError(f"{where}: seeds are swept with seeds=N")
    if config.changes_no_result(f"{key}="):
        raise ValueError(f"{where} {key}: [runtime] changes no result")
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{where} {key}: expected a list of values, got {values!r}")
    listed = tuple(dict.fromkeys(config.as_toml(value, f"{where} {key}") for value in values))
    if not listed:
        raise ValueError(f"{where} {key}: expected at least one value")
    return Over(key, listed)


def frontier(runs: Sequence[Run | str | Path]) -> Frontier:
    """Put several finished runs of one task into one table and one plot: truth and proxy against the KL from SFT.

    Args:
        runs: Runs, their names or directories; they start from the same SFT policy and have the same first truth.

    Returns:
        The table; `save` writes the page.

    Raises:
        ValueError: For a run that isn't finished, or runs that can't be compared.
    """
    if isinstance(runs, Run | str | Path) or not runs:
        raise ValueError(f"trueward.frontier: expected a list of at least one run, got {runs!r}")
    return Frontier(frontiers.frontier([_finished(run if isinstance(run, Run) else Run(run)) for run in runs]))


def doctor(run: Run | str | Path) -> Doctor:
    """Diagnose a run, finished or not: which stage is at fault, on what evidence, and which setting to change.

    Args:
        run: A run, its name or directory.

    Returns:
        The findings; print them.

    Raises:
        ValueError: If there is no such run.
    """
    return Doctor(diagnose_run((run if isinstance(run, Run) else Run(run)).path))


def _finished(run: Run) -> FrontierRun:
    rows = artifacts.read_json(run.path / artifacts.PIPELINE)
    return FrontierRun(run.name, run.table, {row["name"]: row["digest"] for row in rows})
