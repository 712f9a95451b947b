"""Records of finished stages, read from their files."""

from __future__ import annotations

from pathlib import Path

from trueward.data import jsonl
from trueward.records import Comparison, Completion, Prompt

ANSWERS = "reference.jsonl"  # the SFT policy's own answers, two to each prompt, which set the scale of the proxy


def read_completions(path: Path) -> list[Completion]:
    """The completions of a JSONL file."""
    return [Completion.model_validate(row) for _, row in jsonl.read(path)]


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a JSONL file."""
    return [Prompt.model_validate(row) for _, row in jsonl.read(path)]


def read_comparisons(path: Path) -> list[Comparison]:
    """The comparisons of a JSONL file."""
    return [Comparison.model_validate(row) for _, row in jsonl.read(path)]
