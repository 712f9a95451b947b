"""`trueward merge`: a run's policy as one plain transformers directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Which = Annotated[str, typer.Option("--model", help="Which model: policy (the last), best (the highest truth) or sft.")]
Dtype = Annotated[str, typer.Option("--dtype", help="Precision of the weights: float32 or bfloat16.")]


def merge(
    run: Annotated[str, typer.Argument(help="A run's name or directory.")],
    out: Annotated[Path | None, typer.Option("--out", help="The new directory [default: RUN/merged/MODEL].")] = None,
    model: Which = "policy",
    dtype: Dtype = "float32",
) -> None:
    """Write a run's model as one directory that transformers, vLLM and other tools load; adapters are added in."""
    from trueward.cli.terminal import run_directory
    from trueward.models import merging

    home = run_directory(run)
    source = merging.run_model(home, model)
    target = out or home / "merged" / model
    size = merging.merge(source, target, dtype)
    print(f"{target} ({dtype}, {size / 1e6:,.1f} MB)")
