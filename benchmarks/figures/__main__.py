"""Makes figures of the docs anew: `make figures`, or with PYTHONPATH=benchmarks: python -m figures [--only NAME] [--list].

Runs the command of each figure, or of those that --only names, puts the tables that it prints into the figure's page and
writes there of which commit they are. What a command keeps is under benchmarks/kept: whoever stops it goes on by the same
command later, and commits the rows that are there (runs beside them are ignored). Rows of one commit are never mixed with
those of another that changed what they show: --anew throws the old ones away. --list says how old each figure is, and runs
nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from figures import history, pages, registry
from figures.pages import Made
from figures.registry import Figure

PRINTED = registry.ROOT / "build" / "figures"


def ages() -> Iterator[tuple[Figure, Made, int | None]]:
    """Each figure, of which commit it is, and how many later ones changed what it shows; None: the clone isn't that deep."""
    for figure in registry.read():
        made = pages.made((registry.ROOT / figure.page).read_text(encoding="utf-8"))[figure.name]
        yield figure, made, history.since(made.commit, figure.shows) if history.is_known(made.commit) else None


def begun(figure: Figure, anew: bool) -> Made:
    """The commit of the rows that are kept, or the present one where there are none yet.

    `ValueError` where what the figure shows isn't committed, or has changed since the rows that are kept.
    """
    if dirty := history.changed(figure.shows):
        raise ValueError(f"{figure.name}: not committed, so no commit can stand for it: {', '.join(dirty)}")
    kept = figure.kept
    note = registry.KEPT / f"{figure.name}.json"
    if anew:
        for path in (note, *kept):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if not kept or not kept[0].exists():
        made = history.head()
        if kept:
            registry.KEPT.mkdir(exist_ok=True)
            note.write_text(json.dumps({"commit": made.commit, "day": made.day}) + "\n", encoding="utf-8")
        return made
    made = Made(**json.loads(note.read_text(encoding="utf-8")))
    if count := history.since(made.commit, figure.shows):
        raise ValueError(
            f"{figure.name}: the rows in {kept[0].relative_to(registry.ROOT)} are of {made.commit}, and {count} commits have "
            "changed what they show since; ANEW=1 (--anew) begins again without them"
        )
    return made


def make(figure: Figure, anew: bool) -> None:
    """Run its command, and write what came of it into its page. `ValueError` where the command fails."""
    made = begun(figure, anew)
    PRINTED.mkdir(parents=True, exist_ok=True)
    path = [str(registry.ROOT / "src"), str(registry.ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    with (PRINTED / f"{figure.name}.txt").open("w", encoding="utf-8") as file:
        for words in figure.commands():
            with subprocess.Popen(  # noqa: S603 (of the registry)
                [sys.executable, *words], cwd=registry.ROOT, env=env, stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout
                for row in process.stdout:
                    print(row, end="", flush=True)
                    file.write(row)
            if process.returncode:
                raise ValueError(f"{figure.name}: {' '.join(words)} ended with exit code {process.returncode}")
    publish(figure, (PRINTED / f"{figure.name}.txt").read_text(encoding="utf-8"), made)


def publish(figure: Figure, printed: str, made: Made) -> None:
    """Put printed tables into the page, and the commit that they are of."""
    page = registry.ROOT / figure.page
    text, missing = pages.spliced(page.read_text(encoding="utf-8"), printed, figure.heading)
    page.write_text(pages.stamped(text, figure.name, made), encoding="utf-8")
    for head in missing:
        print(
            f"{figure.name}: {figure.page} has no table with this head, so it is left out there: {head}",
            file=sys.stderr,
        )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="figures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="a figure by name; several with commas")
    parser.add_argument("--older", action="store_true", help="those that are older than what they show")
    parser.add_argument("--anew", action="store_true", help="without the rows that are kept")
    parser.add_argument("--list", action="store_true", help="how old each is; make none")
    asked = parser.parse_args()
    if asked.list:
        for figure, made, count in ages():
            age = "unknown" if count is None else f"{count:3} commits changed what it shows" if count else "up to date"
            print(f"{figure.name:24} {figure.page:22} {made.commit:10} {made.day}  about {figure.hours:g} h  {age}")
        return 0
    wanted = [registry.named(name) for name in asked.only.split(",")] if asked.only else registry.read()
    if asked.older:
        old = {figure.name for figure, _, count in ages() if count}
        wanted = [figure for figure in wanted if figure.name in old]
    failed = 0
    for figure in sorted(wanted, key=lambda figure: figure.hours):
        print(
            f"{figure.name}: about {figure.hours:g} hours" + f"; needs {figure.needs}" * bool(figure.needs), flush=True
        )
        try:
            make(figure, asked.anew)
        except ValueError as error:
            print(f"figures: {error}", file=sys.stderr)
            failed = 2
    return failed


if __name__ == "__main__":
    sys.exit(main())
