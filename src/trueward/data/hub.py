"""Data sets of the Hugging Face library `datasets`: from the hub, saved to disk, or folders of parquet or JSONL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trueward.artifacts import expanded
from trueward.data.rows import Row
from trueward.extras import missing

NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)((?::[\w.+-]+){0,2})")
ENDINGS = (".parquet", ".jsonl", ".json", ".arrow")


def load(source: str, base: Path) -> tuple[Any, list[Path]]:
    """One split of a data set, and the files it was read from; `ValueError` in one line if that can't be."""
    name, _, split = source.rpartition(":") if ":" in source else (source, "", "")
    for folder, part in ((base / expanded(source), ""), (base / expanded(name), split)):
        if folder.is_dir():
            return _folder(folder, part)
    if Path(name).suffix.lower() in (*ENDINGS, ".csv", ".txt", ".gz"):
        raise ValueError(f"{base / source}: no such file")
    if not (named := NAME.fullmatch(source)):
        raise ValueError(f"{base / source}: no such file or folder; a Hugging Face data set is named owner/name")
    datasets = _library(source)
    try:
        data = _hub(datasets, named[1], named[2].split(":")[1:])
    except Exception as problem:  # whatever went wrong, network or name, the user needs the line and not the traceback
        raise _failed(source, problem, "; nor is there such a file or folder") from problem
    return data, sorted({Path(file["filename"]) for file in data.cache_files})


def _hub(datasets: Any, name: str, parts: list[str]) -> Any:
    """`parts`: nothing, a split or a configuration, or a configuration and its split. One word is a split if there is such."""
    if len(parts) == 2:
        return datasets.load_dataset(name, parts[0], split=parts[1])
    try:
        return datasets.load_dataset(name, split=parts[0] if parts else "train")
    except ValueError:  # an unknown split, or a configuration has to be named
        if parts and parts[0] in datasets.get_dataset_config_names(name):
            return datasets.load_dataset(name, parts[0], split="train")
        raise


def rows(source: str) -> tuple[Iterator[Row], list[Path]]:
    """The rows of one split, all columns, and the files; an empty cell is a field that isn't there."""
    data, files = load(source, Path())
    return (Row.of(f"{source}, row {n}", values, n) for n, values in enumerate(data, 1)), files


def _folder(folder: Path, split: str) -> tuple[Any, list[Path]]:
    saved = (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix.lower() in ENDINGS)
    if not saved and not any(file.suffix.lower() in (".parquet", ".jsonl") for file in files):
        raise ValueError(f"{folder}: expected a .jsonl file or a folder that holds a data set, got another folder")
    datasets = _library(str(folder))
    try:
        if not saved:
            return datasets.load_dataset(str(folder), split=split or "train"), files
        data = datasets.load_from_disk(str(folder))
    except Exception as problem:
        raise _failed(str(folder), problem) from problem
    if isinstance(data, dict):
        if (split or "train") not in data:
            raise ValueError(f'{folder}: expected the split {" or ".join(data)}, got "{split or "train"}"')
        inside = folder / (split or "train")
        return data[split or "train"], [file for file in files if file.is_relative_to(inside)]
    if split and split != str(data.split):
        raise ValueError(f'{folder}: expected no split, as it holds one data set, got "{split}"')
    return data, files


def _library(source: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise missing(f"{source}: reading a Hugging Face data set needs the package datasets", "hub") from None
    return datasets


def _failed(source: str, problem: Exception, more: str = "") -> ValueError:
    lines = str(problem).strip().splitlines()
    return ValueError(f"{source}: the data set can't be loaded: {lines[0] if lines else type(problem).__name__}{more}")
