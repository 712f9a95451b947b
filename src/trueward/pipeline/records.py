"""Records of finished stages, from their files."""

from __future__ import annotations

from pathlib import Path

from trueward.data import jsonl
from trueward.records import Comparison, Completion, Prompt

ANSWERS = "reference.jsonl"  # the SFT policy's own answers, two to each prompt: what 0 and 1 are


def read_completions(path: Path) -> list[Completion]:
    return [Completion.model_validate(row) for _, row in jsonl.read(path)]


def read_prompts(path: Path) -> list[Prompt]:
    return [Prompt.model_validate(row) for _, row in jsonl.read(path)]


def read_comparisons(path: Path) -> list[Comparison]:
    return [Comparison.model_validate(row) for _, row in jsonl.read(path)]
