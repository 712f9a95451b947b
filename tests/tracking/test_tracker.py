"""Trackers: the same numbers as in the logs, each once, whatever is cut off and goes on.

TensorBoard is the real one, its event files are read back. wandb and trackio stand in: modules with the calls that ours
make, which keep what they are told. Where the real packages are installed, test_installed.py sees to them as well.
"""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward import tracking
from trueward.batches import Step
from trueward.extras import install
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy
from trueward.tracking import rows
from trueward.training.driver import EvalSchedule, Evaluation, drive
from trueward.training.env import Env
from trueward.training.journal import DirectoryJournal
from trueward.training.setup import Setup
from trueward.training.state import State, adam

TOTAL = 6
KINDS = ("tensorboard", "wandb", "trackio")


class PowerCutError(Exception):
    """What stops a loop in the middle."""


class Counting:
    """An algorithm of six steps that moves one weight; the power goes after `cut`."""

    def __init__(self, network: Network, cut: int) -> None:
        self.model, self.cut = network.model, cut

    def steps(self, config: Any, setup: Any) -> int:
        return TOTAL

    def start(self, config: Any, setup: Any) -> State:
        return State({"policy": self.model}, {"policy": adam(self.model, 0.1)})

    def train(self, config: Any, setup: Any, state: State) -> Iterator[Step]:
        while state.step < TOTAL:
            self.model.table.grad = torch.ones_like(self.model.table)
            state.optimizers["policy"].step()
            state.step += 1
            n = state.step
            yield Step(n, {"nll": 1.0 / n, "val/ratio": float("nan") if n == 2 else 1.0 + n}, [], [])
            if n == self.cut:
                raise PowerCutError


def ride(stage: Path, kind: str, cut: int = 0, every: int = 2, digest: str = "d", kill: bool = False) -> None:
    """A loop of six steps, an evaluation at every second one and a checkpoint where one is; the power goes after `cut`."""
    tokenizer: Any = types.SimpleNamespace(save_pretrained=lambda path: None)
    network = Network(TabularPolicy(vocabulary=1, order=1, context=1), tokenizer)

    def evaluate(step: int) -> Evaluation:
        row = {
            "truth": step / 10,
            "truths": {"b": step / 10},
            "kl": None,
            "verdict": "learning" if step else "no signal",
        }
        return Evaluation(row, [], step / 10)

    def track(journal: Any, member: int = 0) -> Any:
        tracker = tracking.follow(kind, {"name": "r", "policy": {"kl_coef": 0.1}}, stage, member=member)
        return _unclosed(tracker) if kill else tracker

    stage.mkdir(parents=True, exist_ok=True)
    (stage / "unfinished.json").write_text(json.dumps({"digest": digest}))
    env = Env(checkpoint_seconds=0.0 if every == 1 else 1e9, track=track)
    schedule = EvalSchedule(2, evaluate, network)
    kept = DirectoryJournal(stage, lambda path: network)
    drive(Counting(network, cut), None, Setup(seed=0, micro_batch_tokens=1), kept, env, schedule, what="toy")


class _unclosed:  # noqa: N801 (stands where a with statement wants a context)
    """A process that is killed closes nothing."""

    def __init__(self, tracker: tracking.Tracker) -> None:
        self.tracker = tracker

    def __enter__(self) -> tracking.Tracker:
        return self.tracker

    def __exit__(self, *_: object) -> None:
        pass


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """All scalars of a folder of event files, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


class Kept:
    """What a stand-in service was told: by run's name or id, rows by step; starts: with what each was begun."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.starts: list[dict[str, Any]] = []
        self.finished = 0
        self.online = False
        self.fails = False

    def begin(self, name: str, settings: dict[str, Any]) -> Any:
        self.starts.append(settings)
        told = self.told.setdefault(name, [])
        kept, resumed = self, bool(told) and self.online

        class Run:
            step = told[-1][0] + 1 if resumed else 0

            def __init__(self) -> None:
                self.resumed = resumed

            def log(self, row: dict[str, Any], step: int) -> None:
                if kept.fails:
                    raise OSError("no route to host\nand more")
                told.append((step, row))

            def finish(self) -> None:
                kept.finished += 1

        return Run()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Stand-ins for both packages."""
    kept = Kept()
    wandb: Any = types.ModuleType("wandb")
    wandb.init = lambda **settings: kept.begin(settings["id"], settings)
    wandb.Settings = lambda **settings: settings
    wandb.login = lambda prompt: kept.online
    trackio: Any = types.ModuleType("trackio")
    trackio.init = lambda **settings: kept.begin(settings["name"], settings)
    for name, module in (("wandb", wandb), ("trackio", trackio)):
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delitem(sys.modules, f"trueward.tracking.{name}", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return kept


Told = Callable[[str], list[tuple[int, dict[str, Any]]]]


@pytest.fixture
def told(kept: Kept, tmp_path: Path) -> Told:
    """What the service has of the stage in the end, rows by step."""

    def read(kind: str) -> list[tuple[int, dict[str, Any]]]:
        if kind != "tensorboard":
            (only,) = kept.told.values()
            return [(step, {k: v for k, v in row.items() if not isinstance(v, str)}) for step, row in only]
        found: dict[int, dict[str, Any]] = {}
        for tag, points in scalars(tmp_path / "run/tensorboard/policy").items():
            assert len({step for step, _ in points}) == len(points), f"{tag}: a step is there twice"
            for step, value in points:
                found.setdefault(step, {})[tag] = value
        return sorted(found.items())

    return read


def expected(stage: Path) -> list[tuple[int, dict[str, Any]]]:
    logged = rows.logged(stage)
    assert list(logged) == list(range(TOTAL + 1))
    return [(step, {k: v for k, v in row.items() if not isinstance(v, str)}) for step, row in logged.items()]


def same(one: list[tuple[int, dict[str, Any]]], other: list[tuple[int, dict[str, Any]]]) -> None:
    assert [step for step, _ in one] == [step for step, _ in other]
    for (_, a), (_, b) in zip(one, other, strict=True):
        assert a == pytest.approx(b, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers_as_in_the_logs(tmp_path: Path, told: Told, kind: str) -> None:
    stage = tmp_path / "run/policy"
    ride(stage, kind)
    same(told(kind), expected(stage))
    last = dict(told(kind))[6]
    assert last == pytest.approx({"nll": 1 / 6, "val/ratio": 7.0, "eval/truth": 0.6, "eval/truths/b": 0.6})
    assert "val/ratio" not in dict(told(kind))[2]  # what is not a number is a gap


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_loop_goes_on_in_the_same_run(
    tmp_path: Path, kept: Kept, told: Told, kind: str, every: int, kill: bool
) -> None:
    """Cut off twice, from a checkpoint and from the beginning: no step is there twice, and none is missing."""
    stage = tmp_path / "run/policy"
    for cut in (3, 5):
        with pytest.raises(PowerCutError):
            ride(stage, kind, cut, every, kill=kill)
    ride(stage, kind, every=every)
    same(told(kind), expected(stage))
    if kind == "wandb":
        assert len({s["id"] for s in kept.starts}) == 1
        assert {s["resume"] for s in kept.starts} == {"allow"}
        assert kept.starts[0]["config"]["policy"] == {"kl_coef": 0.1}


def test_a_service_that_knows_its_last_step_is_believed(tmp_path: Path, kept: Kept, told: Told) -> None:
    """Rows that were sent and never came are sent again."""
    kept.online = True
    stage = tmp_path / "run/policy"
    with pytest.raises(PowerCutError):
        ride(stage, "wandb", 4, 1)
    (only,) = kept.told.values()
    del only[3:]  # the network lost them
    ride(stage, "wandb", every=1)
    same(told("wandb"), expected(stage))


@pytest.mark.parametrize("kind", KINDS)
def test_a_tracker_that_is_asked_for_later_gets_it_all(tmp_path: Path, told: Told, kind: str) -> None:
    stage = tmp_path / "run/policy"
    with pytest.raises(PowerCutError):
        ride(stage, "none", 3, 1)
    ride(stage, kind, every=1)
    same(told(kind), expected(stage))


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_stage_is_sent_once(tmp_path: Path, kept: Kept, told: Told, kind: str) -> None:
    stage = tmp_path / "run/policy"
    ride(stage, "none")
    for _ in range(2):
        tracking.catch_up(kind, {"name": "r"}, stage, "d")
    same(told(kind), expected(stage))
    assert len(kept.starts) == (0 if kind == "tensorboard" else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_another_recipe_is_another_run(tmp_path: Path, kept: Kept, told: Told, kind: str) -> None:
    stage = tmp_path / "run/policy"
    with pytest.raises(PowerCutError):
        ride(stage, kind, 4, digest="old")
    ride(stage, kind, digest="new")
    if kind == "tensorboard":
        same(told(kind), expected(stage))
    else:
        assert len(kept.told) == 2
        assert [step for step, _ in list(kept.told.values())[1]] == list(range(TOTAL + 1))


def test_a_service_that_fails_stops_nothing(tmp_path: Path, kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    kept.fails = True
    stage = tmp_path / "run/policy"
    ride(stage, "trackio")
    assert len(expected(stage)) == TOTAL + 1
    said = capsys.readouterr().err.splitlines()
    assert said == ["trueward: trackio: no route to host; the run goes on without it"]


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        monkeypatch.setitem(sys.modules, kind, None)
        with pytest.raises(ValueError, match=re.escape(f"{kind} is not installed: {install(kind)}")):
            tracking.require(kind)
    tracking.require("none")


def test_wandb_without_a_key_is_said_before_it_asks(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking.require("wandb")
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(ValueError, match="no API key"):
        tracking.require("wandb")
    kept.online = True
    tracking.require("wandb")


def test_figures_of_a_row() -> None:
    assert rows.of_step({"step": 3, "nll": 1, "gap": None, "note": "x"}) == {"nll": 1.0}
    evaluation = {
        "step": 3,
        "truth": 0.5,
        "truths": {"a": 1.0},
        "feature_shift": [{"n": 1}],
        "verdict": "hacking",
        "rule": "why",
    }
    assert rows.of_evaluation(evaluation) == {"eval/truth": 0.5, "eval/truths/a": 1.0, "eval/verdict": "hacking"}
