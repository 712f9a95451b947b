"""`trueward push`: a run's policy with a model card, to the hub."""

from __future__ import annotations

import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trueward.cli.merge import Dtype, Which

if TYPE_CHECKING:
    from trueward.reporting.model_card import CardFacts

LIBRARIES = ("trueward", "torch", "transformers")


def push(
    run: Annotated[str, typer.Argument(help="A run's name or directory.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The new repository on the hub.")],
    model: Which = "policy",
    dtype: Dtype = "float32",
    private: Annotated[
        bool | None,
        typer.Option("--private/--public", help="Who can see it [default: the hub's: public, unless the owner chose]."),
    ] = None,
    licence: Annotated[
        str, typer.Option("--license", "--licence", help="Its licence [default: what the base model's card says].")
    ] = "",
    update: Annotated[bool, typer.Option("--update", help="Commit to a repository that is there already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the folder, upload nothing.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Keep the folder here [dry run: RUN/hub/NAME].")] = None,
) -> None:
    """Put a run's model on the Hugging Face hub: merged weights, a model card with data, numbers and verdict, the recipe."""
    from trueward import artifacts
    from trueward.cli.terminal import run_directory
    from trueward.models import hub, merging
    from trueward.models.quiet import quiet
    from trueward.reporting.model_card import card

    hub.check_name(name)
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*|", licence):
        raise ValueError(
            f"--license {licence}: expected an identifier as the hub spells it, e.g. apache-2.0, mit, other"
        )
    home = run_directory(run)
    if not (home / "report.json").is_file():
        raise ValueError(f"{home}: has no report yet, and a card without numbers is none; `trueward run` makes one")
    report = artifacts.read_json(home / "report.json")
    source = merging.run_model(home, model)
    if out:
        merging.refuse_full(out)
    if not dry_run:
        hub.require_token()
        if not update:
            hub.require_new(name)
    facts = card_facts(report, name, model, dtype, licence)
    recipe = (home / "recipe.toml").read_text(encoding="utf-8")
    with ExitStack() as stack:
        if not sys.stderr.isatty():
            stack.enter_context(quiet())
        folder = out or (home / "hub" / name.split("/")[1] if dry_run else temporary(stack, home))
        merging.merge(source, folder, dtype, texts(card(report, recipe, facts), recipe))
        print(f"licence: {facts.licence}, {facts.licence_source}")
        if dry_run:
            print(f"{folder} (a dry run: nothing was uploaded)")
            return
        print(hub.upload(name, folder, f"{model} of the run {home.absolute().name}", private, update))


def card_facts(report: dict[str, Any], name: str, model: str, dtype: str, licence: str) -> CardFacts:
    """The card's facts that are not in the report; a given licence replaces the base model's."""
    import platform
    from importlib.metadata import version

    from trueward.models import hub
    from trueward.reporting.model_card import CardFacts

    base = hub.base_model(report.get("recipe") or {})
    return CardFacts(
        repo=name,
        which=model,
        dtype=dtype,
        base=base.name,
        licence=licence or base.licence,
        licence_source="as whoever published it chose" if licence else base.source,
        versions={**{library: version(library) for library in LIBRARIES}, "Python": platform.python_version()},
    )


def texts(card: str, recipe: str) -> dict[str, str]:
    """The text files beside the weights, by name."""
    from trueward.reporting.model_card import shareable

    return {"README.md": card, "recipe.toml": shareable(recipe)}


def temporary(stack: ExitStack, home: Path) -> Path:
    """A temporary folder, removed after the upload; one that a killed process left is removed by the next call."""
    place = stack.enter_context(tempfile.TemporaryDirectory(prefix=".push.", suffix=".tmp", dir=home))
    return Path(place) / "model"
