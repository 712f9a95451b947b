"""Where an adapter's base is, and what the adapter says of it: its place, its digest, how it was kept."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from safetensors import SafetensorError

from trueward.artifacts import read_json, sha256
from trueward.models import nf4

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FOLDER = "adapter"  # in a merged model's directory
BASE = "trueward_base"  # in the file's metadata, the digest of the weights that the adapter is for; "DIGEST nf4" of four bits
PLACE = "trueward_base.json"  # beside an adapter in a run: where its base is from there, wherever the run is moved


def find_adapter(folder: Path) -> Path | None:
    """The adapter that a model's directory is, or holds."""
    for place in (folder, folder / FOLDER):
        if (place / CONFIG).is_file():
            return place
    return None


def base_of(folder: Path) -> str:
    """Path or name of the weights that an adapter is for; in a run that was moved, the same place in it.

    `ValueError` if the adapter names none, or they are gone.
    """
    name = str(read_json(folder / CONFIG).get("base_model_name_or_path") or "")
    if not name:
        raise ValueError(f"{folder / CONFIG}: base_model_name_or_path is missing: which model is this adapter for?")
    path = Path(name)
    if (folder / PLACE).is_file() and (beside := folder.absolute() / _read_place(folder / PLACE)).is_dir():
        return os.path.normpath(beside)
    if path.is_absolute() and not path.is_dir():
        for parent in folder.absolute().parents:
            if (moved := parent / path.parent.name / path.name).is_dir():
                return str(moved)
        raise ValueError(f"{folder}: the model that this adapter is for is gone: {name}")
    return name


def place_in_run(base: str, folder: Path) -> str | None:
    """The relative path to a base in the same run, RUN/sft/model; None for any other, whose place no move changes."""
    path = Path(base).absolute()
    run = path.parent.parent
    if not path.is_dir() or run == Path(run.anchor) or run not in folder.absolute().parents:
        return None
    return Path(os.path.relpath(path, folder.absolute())).as_posix()


def _read_place(file: Path) -> str:
    table = read_json(file)
    place = table.get("place") if isinstance(table, dict) else None
    if not isinstance(place, str) or not place or Path(place).is_absolute():
        raise ValueError(f"{file}: damaged, expected the relative path of the model that the adapter is for")
    return place


def base_kept(folder: Path) -> str:
    """How the weights that an adapter is for were kept while it learned: `plain` or `nf4`."""
    return nf4.KIND if metadata(folder).get(BASE, "").endswith(f" {nf4.KIND}") else "plain"


def weight_files(path: Path) -> list[Path]:
    """A directory's files of weights (*.safetensors) by name; none for anything else."""
    return sorted(path.glob("*.safetensors")) if path.is_dir() else []


def weights_digest(place: str) -> str:
    """sha256 of a directory's weights; "" for a name."""
    digests = [sha256(f) for f in weight_files(Path(place))]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else ""


def metadata(folder: Path) -> dict[str, str]:
    """What an adapter's file says beside its tensors. `ValueError` if it can't be read."""
    from safetensors import safe_open

    try:
        with safe_open(folder / WEIGHTS, "pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder / WEIGHTS}: {error}") from None
