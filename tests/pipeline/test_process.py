"""What is global to the process is a run's while it runs, and nobody's afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import optimizer
from torch.utils import deterministic

from trueward import config, pipeline
from trueward.models.fast import compiled, packed
from trueward.pipeline import prepare
from trueward.pipeline.process import process_settings
from trueward.pipeline.run import plan, run_in_memory
from trueward.progress import Progress

FILL = "fill_uninitialized_memory"


def settings() -> dict[str, Any]:
    """All that a run changes of the process and that can be read back."""
    return {
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "fill": getattr(deterministic, FILL),
        "compiled": packed.is_compiled,
        "filters": list(warnings.filters),
        "hooks": len(optimizer._global_optimizer_post_hooks),
    }


@pytest.fixture(params=["as torch has it", "set by the user"])
def before(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The process as it was, whichever way it was."""
    as_found = settings()
    if request.param == "set by the user":
        torch.set_num_threads(3)
        torch.use_deterministic_algorithms(True, warn_only=False)
        setattr(deterministic, FILL, not as_found["fill"])
        packed.is_compiled = True
    yield settings()
    torch.set_num_threads(as_found["threads"])
    torch.use_deterministic_algorithms(as_found["deterministic"], warn_only=as_found["warn only"])
    setattr(deterministic, FILL, as_found["fill"])
    packed.is_compiled = as_found["compiled"]


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("adapts", ["lora.rank=0", "lora.rank=2"])
def test_they_are_set_inside_and_put_back(
    before: dict[str, Any], monkeypatch: pytest.MonkeyPatch, compiles: bool, adapts: str
) -> None:
    monkeypatch.setattr(compiled, "require_compiler", lambda: None)
    recipe = config.read("tiny", ["runtime.threads=2", f"runtime.compile={str(compiles).lower()}", adapts])
    with process_settings(recipe):
        inside = settings()
        warnings.warn("this has no; does not have a deterministic implementation, either", stacklevel=1)  # ignored
    filters = inside.pop("filters")
    assert inside == {
        "threads": 2,
        "deterministic": True,
        "warn only": True,
        "fill": False,
        "compiled": compiles,
        "hooks": before["hooks"] + 1,
    }
    assert len(filters) == len(before["filters"]) + 1
    assert settings() == before


def test_they_are_put_back_after_an_exception(before: dict[str, Any]) -> None:
    class WrongError(Exception):
        pass

    with pytest.raises(WrongError), process_settings(config.read("tiny", ["runtime.threads=2"])):
        raise WrongError
    assert settings() == before


def test_one_within_another_gives_back_what_the_outer_one_had(before: dict[str, Any]) -> None:
    with process_settings(config.read("tiny", ["runtime.threads=2"])):
        outer = settings()
        with process_settings(config.read("tiny", ["runtime.threads=1"])):
            assert torch.get_num_threads() == 1
        assert settings() == outer
    assert settings() == before


def test_without_a_compiler_nothing_is_changed(before: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with (
        pytest.raises(ValueError, match="needs a C\\+\\+ compiler"),
        process_settings(config.read("tiny", ["runtime.compile=true"])),
    ):
        raise AssertionError("it should have been refused")
    assert settings() == before


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_a_run_in_this_process_leaves_no_trace(before: dict[str, Any], tmp_path: Path, kind: str) -> None:
    recipe = config.read("tiny", ["runtime.threads=1", "sft.epochs=0.02", "data.held_out=0.5"])
    if kind == "disk":
        pipeline.run_pipeline(recipe, tmp_path, "run", Progress(), until="sft")
    else:
        run_in_memory(recipe, until="sft")
    assert settings() == before


def test_nor_does_one_that_fails(before: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        assert torch.get_num_threads() == 1
        raise OSError("the disk is gone")

    monkeypatch.setattr(prepare, "split", fails)
    recipe = config.read("tiny", ["runtime.threads=1"])
    for run in (lambda: pipeline.run_pipeline(recipe, tmp_path, "run", Progress()), lambda: run_in_memory(recipe)):
        with pytest.raises(OSError, match="the disk is gone"):
            run()
        assert settings() == before


def test_nor_does_a_plan(before: dict[str, Any]) -> None:
    plan(config.read("tiny", ["runtime.threads=2"]))
    assert settings() == before
