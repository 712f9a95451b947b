"""One policy for each value of a setting, and seed: the same pipeline many times, with shared stages run once.

Every member is an ordinary run under one home, so the stages that two of them have in common (SFT, comparisons, reward model
of a seed) are run once, a finished member is not run again, and a killed one resumes.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward import artifacts, config, tracking
from trueward.artifacts import read_json
from trueward.config import Recipe
from trueward.evaluation import sweep as sweep_results
from trueward.evaluation.contracts import SweepRow
from trueward.pipeline import workers
from trueward.pipeline.recipe_difference import differing
from trueward.pipeline.requirements import require_extras
from trueward.pipeline.run import proxy_stage
from trueward.pipeline.workers import Job
from trueward.progress import Progress
from trueward.reporting import sweep_page

FORMAT = 2  # of sweep.json
RunJobs = Callable[[Sequence[Job], int, Callable[[Job, str], None]], dict[str, str]]
"""Does jobs, so many at a time, and says of each when it is done and with which error; returns the errors."""


@dataclass(frozen=True)
class Over:
    """A setting and its values."""

    key: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Over:
        """From `policy.kl_coef=0,0.1,1`. `ValueError` if the text is not of that form."""
        key, equals, values = text.partition("=")
        listed = tuple(dict.fromkeys(v.strip() for v in values.split(",")))
        if not equals or not key.strip() or not all(listed):
            raise ValueError(f"--over {text}: expected KEY=VALUE,VALUE,..., e.g. policy.kl_coef=0,0.03,0.1,0.3,1")
        if key.strip() == "seed":
            raise ValueError("--over seed: seeds are swept with --seeds N")
        if config.changes_no_result(text):
            raise ValueError(f"--over {key.strip()}: [runtime] changes no result")
        return cls(key.strip(), listed)


@dataclass(frozen=True)
class Member:
    """One run of the sweep."""

    value: Any
    seed: int
    recipe: Recipe
    name: str


def members(recipe: str, changes: Sequence[str], over: Over, seeds: int, threads: int) -> list[Member]:
    """Every value with every seed, from the recipe's own seed upward. `ValueError` for a value that the recipe refuses."""
    out = []
    names: dict[str, str] = {}
    for text in over.values:
        first = config.read(recipe, [*changes, f"{over.key}={text}"])
        value: Any = first.table()
        for part in over.key.split("."):
            value = value[part] if isinstance(value, dict) and part in value else None
        if first.runtime.threads == 0:
            first = first.model_copy(update={"runtime": first.runtime.model_copy(update={"threads": threads})})
        for seed in range(first.seed, first.seed + seeds):
            name = config.variant(f"{over.key}={text}", [f"seed={seed}"])
            if names.setdefault(name, text) != text:
                raise ValueError(f"--over: {text!r} and {names[name]!r} would have the same directory, {name}")
            out.append(Member(value, seed, first.model_copy(update={"seed": seed}), name))
    return out


def sweep(
    recipe: str,
    changes: Sequence[str],
    over: Over,
    seeds: int,
    jobs: int,
    home: Path,
    progress: Progress,
    command: str = "",
    run_jobs: RunJobs = workers.run_jobs,
    threads: int = 0,
) -> dict[str, Any]:
    """Run all members, `jobs` at a time, and write sweep.json and sweep.html into `home`; returns the contents of sweep.json.

    run_jobs: does them. threads: of each where the recipe doesn't say so; 0: its share of the cores. A member that fails (its
    loss is not finite) is a row with an `error`; `ValueError` if all fail.
    """
    threads = threads or max(1, (os.cpu_count() or 1) // jobs)
    runs = members(recipe, changes, over, seeds, threads)
    tracking.require(runs[0].recipe.runtime.tracking)
    for run in runs:
        require_extras(run.recipe)
    take_home(home, runs[0].recipe, over)
    progress.start(f"sweep over {over.key}", len(runs))
    everyone, name = all_members(home, over, runs), runs[0].recipe.name
    failed: dict[str, str] = {}

    def finished(run: str, wrong: str) -> None:
        if wrong:
            failed[run] = wrong
        keep(home, gather(home, over, everyone, failed, command, name))

    keep(home, gather(home, over, everyone, failed, command, name))
    failed = run_all(runs, home, jobs, progress, command, finished, run_jobs)
    progress.end(f"{len(runs) - len(failed)} of {len(runs)} runs" if failed else f"{len(runs)} runs")
    result = gather(home, over, everyone, failed, command, name)
    if all(r.get("error") for r in result["runs"]):
        raise ValueError(f"{home}: no run of the sweep ended well; the first one: {result['runs'][0]['error']}")
    keep(home, result)
    return result


def gather(
    home: Path, over: Over, runs: Sequence[Member], failed: dict[str, str], command: str, recipe: str
) -> dict[str, Any]:
    """The contents of sweep.json, from the runs that are finished by now. `planned` in it is the number of all runs."""
    rows = []
    for member in runs:
        where = home / member.name / "report.json"
        if member.name in failed:
            rows.append({"value": member.value, "seed": member.seed, "run": member.name, "error": failed[member.name]})
        elif where.is_file() and finished_before(home / member.name, member.recipe):
            row = sweep_results.row(member.value, member.seed, member.name, read_json(where))
            SweepRow.model_validate(row)
            rows.append(row)
    swept = sweep_results.points(rows)
    advice = sweep_results.advise(swept)
    return {
        "format": FORMAT,
        "recipe": recipe,
        "over": over.key,
        "command": command,
        "planned": len(runs),
        "advice": advice.table() if advice else None,
        "sentence": sweep_results.sentence(over.key, advice),
        "points": [p.table() for p in swept],
        "forms": {name: form.table() for name, form in sweep_results.forms(rows).items()},
        "runs": rows,
    }


def keep(home: Path, result: dict[str, Any]) -> None:
    """Write sweep.json and sweep.html with the results so far, which the studio reads during a sweep."""
    artifacts.write_json(home / "sweep.json", result)
    artifacts.write_text(home / "sweep.html", sweep_page.page(read_json(home / "sweep.json")))


def run_all(
    runs: Sequence[Member],
    home: Path,
    jobs: int,
    progress: Progress,
    command: str,
    on_done: Callable[[str, str], None] = lambda run, wrong: None,
    run_jobs: RunJobs = workers.run_jobs,
) -> dict[str, str]:
    """Run first the stages that the members of a seed share, once, then the rest; returns the failed runs with their errors."""
    done = 0
    left = [m for m in runs if not finished_before(home / m.name, m.recipe)]

    def job(member: Member, until: str) -> Job:
        again = shlex.join(["trueward", "run", str(home / member.name / "recipe.toml")])
        return Job(member.recipe, home, member.name, until, command or again)

    def finished(job: Job, wrong: str) -> None:
        nonlocal done
        done += 1
        progress.at(done, wrong)
        on_done(job.name, wrong)

    shared = {m.seed: m for m in reversed(left)}  # the first of each seed
    progress.at(done := len(runs) - len(left), f"{done} were there" if done else "what all runs of a seed share")
    run_jobs([job(m, proxy_stage(m.recipe)) for m in shared.values()], jobs, lambda _, wrong: None)
    return run_jobs([job(m, "report") for m in left], jobs, finished)


def finished_before(run: Path, recipe: Recipe) -> bool:
    """Whether this very recipe's run is finished. Another recipe's run is refused later, by the pipeline."""
    saved = run / "recipe.toml"
    return (run / "report.json").is_file() and saved.is_file() and not differing(config.read(str(saved)), recipe)


def take_home(home: Path, recipe: Recipe, over: Over) -> None:
    """Create the sweep's directory. `ValueError` if it holds something else."""
    saved = home / "sweep.json"
    if saved.is_file():
        before = read_json(saved)
        if before.get("over") != over.key:
            raise ValueError(f"{home}: holds a sweep over {before.get('over')}, not {over.key}; choose another --out")
    elif home.exists() and (not home.is_dir() or artifacts.is_run(home)):
        raise ValueError(f"{home}: exists and is not a sweep's directory; choose another --out")
    home.mkdir(parents=True, exist_ok=True)


def all_members(home: Path, over: Over, runs: Sequence[Member]) -> list[Member]:
    """These members, and those that an earlier sweep of the same setting and recipe left under the same home."""
    out = list(runs)
    known = {m.name for m in runs}
    saved = home / "sweep.json"
    for row in read_json(saved)["runs"] if saved.is_file() else []:
        path = home / str(row["run"]) / "recipe.toml"
        if row["run"] in known or not path.is_file():
            continue
        recipe = config.read(str(path))
        if same_but_for(over.key, recipe, runs[0].recipe):
            out.append(Member(row["value"], row["seed"], recipe, row["run"]))
    return out


def same_but_for(key: str, one: Recipe, other: Recipe) -> bool:
    """Whether two recipes differ in nothing but this setting, the seed and [runtime]."""

    def rest(recipe: Recipe) -> dict[str, Any]:
        table = recipe.table()
        for name in ("runtime", "name", "description", "seed"):
            table.pop(name, None)
        *sections, last = key.split(".")
        inner = table
        for part in sections:
            inner = inner.get(part, {})
        inner.pop(last, None)
        return table

    return rest(one) == rest(other)
