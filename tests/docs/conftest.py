"""The flag `--whole`, and one small run that all tests of the documentation read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import trueward

SMALL = (
    "runtime.threads=1",
    "data.max_prompt_tokens=5",  # so that rows are left out, and reported
    "sft.epochs=0.2",
    "comparisons.count=60",
    "reward.held_out=0.3",
    "policy.steps=2",
    "policy.batch_size=16",
    "policy.minibatches=2",
    "sampler.max_new_tokens=8",
    "evaluation.every=1",
    "evaluation.final_prompts=16",
    "evaluation.step_prompts=16",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="run the documentation's commands as they are written")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The first of these tests waits for the commands of all pages."""
    hours = 4 if config.getoption("--whole", default=False) else 0.5
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(hours * 3600))


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """What commands run with: the package under test, one thread of the linear algebra, no network."""
    source = str(Path(trueward.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "100"}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    """The directory of a finished run of the recipe `tiny`, as small as it goes."""
    run = tmp_path_factory.mktemp("docs") / "runs" / "tiny"
    changes = [word for change in SMALL for word in ("--set", change)]
    command = [sys.executable, "-m", "trueward", "run", "tiny", "--quiet", "--out", str(run), *changes]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture(scope="session")
def of_kind(tiny: Path) -> Callable[..., Path]:
    """A finished run of another `policy.kind`, with changes, beside `tiny`, so that it shares the lower stages."""
    from trueward import config, pipeline  # torch comes with it: only the tests that climb wait for that
    from trueward.progress import Progress

    less = ("policy.group.size=4", "policy.best_of_n.n=3", "policy.best_of_n.prompts=40")

    @cache
    def climb(kind: str, *changes: str) -> Path:
        recipe = config.read("tiny", [*SMALL, *less, f"policy.kind={kind}", *changes])
        name = "-".join(("tiny", kind, *changes))
        pipeline.run_pipeline(recipe, tiny.parent, name, Progress())
        return tiny.parent / name

    return climb
