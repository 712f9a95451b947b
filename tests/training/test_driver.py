"""The driver, on an algorithm that only counts: logs, checkpoints, the best, resuming, stopping; on disk and in memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trueward.artifacts import UNFINISHED, write_json
from trueward.batches import Step
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy
from trueward.progress import Progress, WaitingError
from trueward.records import Completion, Prompt
from trueward.training import driver, journal
from trueward.training.driver import EvalSchedule, Evaluation, EvalVerdict, drive
from trueward.training.env import Env
from trueward.training.journal import (
    BEST,
    EVALUATIONS,
    LOGS,
    METRICS,
    SAMPLES,
    DirectoryJournal,
    Journal,
    MemoryJournal,
)
from trueward.training.setup import Setup
from trueward.training.state import State, adam

TOTAL = 6
TRUTHS = {0: 9.0, 1: 0.1, 2: 0.5, 3: 0.4, 4: 0.5, 5: 0.6, 6: 0.2}  # before the first step the policy is SFT's own
SETUP = Setup(seed=0, micro_batch_tokens=1)
PLACES = pytest.mark.parametrize("place", ["disk", "memory"])
Logs = dict[str, list[dict[str, Any]]]


class PowerCutError(Exception):
    """What stops a loop in the middle."""


@dataclass
class Told(Progress):
    """A reporter that remembers."""

    said: list[Any] = field(default_factory=list)

    def start(self, what: str, total: int) -> None:
        self.said.append((what, total))

    def at(self, done: int, note: str = "") -> None:
        self.said.append((done, note))

    def end(self, note: str = "") -> None:
        self.said.append(note)


def one_number(value: float = 0.0) -> Network:
    """A policy of a single weight."""
    model = TabularPolicy(vocabulary=1, order=1, context=1)
    with torch.no_grad():
        model.table.fill_(value)
    tokenizer: Any = SimpleNamespace(save_pretrained=lambda path: None)
    return Network(model, tokenizer)


def number_of(network: Network | None) -> float | None:
    return None if network is None else float(network.model.table.detach())


def load(path: Path) -> Network:
    return one_number(float(load_file(path / "model.safetensors")["table"]))


@dataclass
class Counting:
    """The algorithm: moves the one weight by a step. `cut`: the step after which the power goes."""

    network: Network
    metrics: Callable[[int], dict[str, float]]
    cut: int = 0
    wait_at: int = -1
    state: State | None = None

    def steps(self, config: Any, setup: Any) -> int:
        return int(config)

    def start(self, config: Any, setup: Any) -> State:
        model = self.network.model
        self.state = State({"policy": model}, {"policy": adam(model, 0.1)}, numbers={"beta": 1.0})
        return self.state

    def train(self, config: Any, setup: Any, state: State) -> Iterator[Step]:
        table = self.network.model.table
        while state.step < config:
            if state.step == self.wait_at:
                raise WaitingError("for somebody")
            table.grad = torch.ones_like(table) * (state.step + 1)
            state.optimizers["policy"].step()
            state.numbers["beta"] *= 1.1
            state.step += 1
            n = state.step
            completion = Completion(prompt=Prompt(text="p"), response=f"r{n}")
            yield Step(n, self.metrics(n), [completion], [{"score": float(n)}])
            if n == self.cut:
                raise PowerCutError


@dataclass
class Attempt:
    """One process's attempt at the loop."""

    journal: Journal
    cut: int = 0
    checkpoint_seconds: float = 0.0
    metrics: Callable[[int], dict[str, float]] = lambda step: {"nll": 1.0 / step}
    every: int = 1
    evaluates: bool = True
    judges: bool = False
    stop_at: int = -1
    wait_at: int = -1
    measures: bool = True
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self.network = one_number()
        self.algorithm = Counting(self.network, self.metrics, self.cut, self.wait_at)

    @property
    def state(self) -> State:
        assert self.algorithm.state is not None
        return self.algorithm.state

    def evaluate(self, step: int) -> Evaluation:
        truth = TRUTHS[step] if self.measures else None
        return Evaluation({"truth": truth, "proxy": None}, [{"response": f"r{step}"}], truth)

    def judge(self, rows: list[dict[str, Any]]) -> EvalVerdict:
        """Says what it was given: how many rows, and what was kept as the best at that moment."""
        row = {"rows": [r["step"] for r in rows], "best": number_of(self.journal.kept(BEST))}
        stop = "the truth fell" if rows[-1]["step"] == self.stop_at else ""
        return EvalVerdict(row, f"word {len(rows)}", stop)

    def go(self) -> driver.Outcome:
        schedule = EvalSchedule(self.every, self.evaluate, self.network, self.judge if self.judges else None)
        env = Env(progress=self.told, checkpoint_seconds=self.checkpoint_seconds)
        evaluation = schedule if self.evaluates else None
        return drive(self.algorithm, TOTAL, SETUP, self.journal, env, evaluation, what="toy")


def on_disk(directory: Path) -> DirectoryJournal:
    """A stage's directory as it is when the stage begins or goes on."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / UNFINISHED, {"digest": "d"})
    return DirectoryJournal(directory, load)


def begin(place: str, directory: Path) -> Journal:
    return on_disk(directory) if place == "disk" else MemoryJournal()


def logs(journal: Journal) -> Logs:
    """All rows of all logs but for the seconds; of files, as they lie there."""
    found: Logs = {}
    for name in LOGS:
        if journal.directory is None:
            rows = journal.rows(name)
        else:
            path = journal.directory / name
            text = gzip.decompress(path.read_bytes()).decode() if name.endswith(".gz") else path.read_text()
            rows = [json.loads(row) for row in text.splitlines()]
            assert rows == journal.rows(name)
        found[name] = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
    return found


@PLACES
def test_every_step_and_every_evaluation_is_a_row(tmp_path: Path, place: str) -> None:
    attempt = Attempt(begin(place, tmp_path / "run"), every=4)
    attempt.go()
    found = logs(attempt.journal)
    assert found["metrics.jsonl"] == [{"step": n, "nll": 1.0 / n} for n in range(1, 7)]
    assert [row["step"] for row in found["evaluations.jsonl"]] == [0, 4, 6]  # before the first, now and then, the last
    assert found["samples.jsonl"] == [{"step": n, "response": f"r{n}"} for n in (0, 4, 6)]
    assert [(row["step"], row["response"], row["score"]) for row in found["rollouts.jsonl.gz"]] == [
        (n, f"r{n}", float(n)) for n in range(1, 7)
    ]
    assert attempt.journal.rows(EVALUATIONS)[0]["truth"] == 9.0
    assert attempt.journal.rows(EVALUATIONS)[0]["seconds"] >= 0
    assert attempt.journal.rows("nothing.jsonl") == []
    assert journal.read_log(tmp_path / "nothing.jsonl") == []


@pytest.mark.parametrize("cut", range(1, TOTAL))
@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9])
def test_a_resumed_loop_ends_as_if_nothing_had_happened(tmp_path: Path, cut: int, checkpoint_seconds: float) -> None:
    whole = Attempt(on_disk(tmp_path / "whole"))
    outcome = whole.go()
    with pytest.raises(PowerCutError):
        Attempt(on_disk(tmp_path / "cut"), cut, checkpoint_seconds).go()
    for name in LOGS:  # what was written after the last checkpoint, and half a row
        with (tmp_path / "cut" / name).open("ab") as log:
            log.write(b'{"step": 99, "nl')
    again = Attempt(on_disk(tmp_path / "cut"))
    resumed = again.go()
    assert logs(again.journal) == logs(whole.journal)
    assert number_of(again.network) == number_of(whole.network)
    assert again.state.numbers == whole.state.numbers
    assert resumed.state is again.state
    assert (resumed.best_step, resumed.best_truth) == (outcome.best_step, outcome.best_truth)
    assert number_of(again.journal.kept(BEST)) == number_of(whole.journal.kept(BEST)) is not None
    if checkpoint_seconds == 0:
        assert again.told.said[:2] == [("toy", TOTAL), (cut, "resumed")]


def test_in_memory_it_is_the_same_as_on_disk(tmp_path: Path) -> None:
    disk, memory = (Attempt(begin(place, tmp_path / "run"), judges=True) for place in ("disk", "memory"))
    one, two = disk.go(), memory.go()
    assert logs(memory.journal) == logs(disk.journal)
    assert memory.told.said == disk.told.said
    assert number_of(memory.network) == number_of(disk.network)
    assert number_of(memory.journal.kept(BEST)) == number_of(disk.journal.kept(BEST)) is not None
    assert memory.state.numbers == disk.state.numbers
    assert {**one.table(), "seconds": 0} == {**two.table(), "seconds": 0}
    assert not list(tmp_path.rglob(".*.tmp"))


@PLACES
def test_the_best_is_kept_when_the_truth_has_never_been_higher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    attempt = Attempt(begin(place, tmp_path / "run"))
    kept: list[tuple[str, int]] = []
    keep = attempt.journal.keep

    def listens(name: str, network: Network, step: int) -> None:
        kept.append((name, step))
        keep(name, network, step)

    monkeypatch.setattr(attempt.journal, "keep", listens)
    outcome = attempt.go()
    assert kept == [(BEST, 1), (BEST, 2), (BEST, 5)]  # not 4, which is no higher than 2, and not 0
    assert (outcome.best_step, outcome.best_truth) == (5, 0.6)
    shorter = Attempt(MemoryJournal(), cut=5)
    with pytest.raises(PowerCutError):
        shorter.go()
    assert number_of(attempt.journal.kept(BEST)) == number_of(shorter.network) != number_of(attempt.network)
    if place == "disk":
        assert sorted(p.name for p in (tmp_path / "run/best").iterdir()) == ["config.json", "model.safetensors"]


@PLACES
def test_no_truth_no_best(tmp_path: Path, place: str) -> None:
    attempt = Attempt(begin(place, tmp_path / "run"), measures=False)
    outcome = attempt.go()
    assert outcome.best_step is None
    assert attempt.journal.kept(BEST) is None
    assert outcome.table()["best_truth"] is None
    if place == "disk":
        assert not (tmp_path / "run/best").exists()
        state = json.loads((tmp_path / "run/checkpoints/step-0000006/state.json").read_text())
        assert state["more"]["best_truth"] is None


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    Attempt(on_disk(tmp_path / "run")).go()
    checkpoints = tmp_path / "run/checkpoints"
    assert sorted(p.name for p in checkpoints.iterdir()) == ["step-0000005", "step-0000006"]
    assert journal.read_state(checkpoints)["step"] == 6
    assert journal.read_state(tmp_path / "elsewhere") == {}
    Attempt(on_disk(tmp_path / "rare"), checkpoint_seconds=1e9).go()
    assert [p.name for p in (tmp_path / "rare/checkpoints").iterdir()] == ["step-0000006"]


@pytest.mark.parametrize(("writing", "saved_at"), [(0.01, [1, 2, 3, 4, 5, 6]), (0.1, [1, 3, 5, 6]), (0.5, [1, 6])])
def test_checkpoints_take_at_most_a_twentieth_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: float, saved_at: list[int]
) -> None:
    """A step takes a second; a checkpoint every half second was asked for."""
    now = [0.0]
    monkeypatch.setattr(driver.time, "monotonic", lambda: now[0])
    journal = on_disk(tmp_path / "run")
    saved: list[int] = []

    def save(state: State, more: dict[str, Any]) -> None:
        now[0] += writing
        saved.append(state.step)

    def metrics(step: int) -> dict[str, float]:
        now[0] += 1.0
        return {"nll": 1.0}

    monkeypatch.setattr(journal, "save", save)
    Attempt(journal, checkpoint_seconds=0.5, metrics=metrics, evaluates=False).go()
    assert saved == saved_at
    assert writing * (len(saved) - 1) <= 0.05 * now[0] + writing


def test_half_a_checkpoint_is_not_taken_for_one(tmp_path: Path) -> None:
    Attempt(on_disk(tmp_path / "run")).go()
    (tmp_path / "run/checkpoints/step-0000006/state.json").unlink()
    last = journal.latest(tmp_path / "run/checkpoints")
    assert last is not None
    assert last.name == "step-0000005"


@PLACES
@pytest.mark.parametrize("name", driver.FATAL)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_stops_the_loop(tmp_path: Path, name: str, value: float, place: str) -> None:
    attempt = Attempt(begin(place, tmp_path / "run"), metrics=lambda step: {name: value if step == 3 else 1.0})
    with pytest.raises(
        ValueError, match=f"^toy, step 3: {name} is not a number any more; a lower learning rate may help$"
    ):
        attempt.go()
    assert [row["step"] for row in logs(attempt.journal)["metrics.jsonl"]] == [1, 2]
    if place == "disk":
        assert journal.read_state(tmp_path / "run/checkpoints")["step"] == 2


@PLACES
def test_every_row_is_json_for_everybody(tmp_path: Path, place: str) -> None:
    """A figure that has no value in a step (the accuracy of a batch of ties) is null: NaN is no JSON."""
    attempt = Attempt(begin(place, tmp_path / "run"), metrics=lambda step: {"loss": 1.0, "accuracy": float("nan")})
    attempt.go()
    assert attempt.journal.rows(METRICS)[0] == {"step": 1, "loss": 1.0, "accuracy": None}
    for name in LOGS:
        json.dumps(attempt.journal.rows(name), allow_nan=False)
    if place == "disk":
        assert "NaN" not in (tmp_path / "run/metrics.jsonl").read_text()


@PLACES
def test_a_figure_may_be_a_scalar_tensor(tmp_path: Path, place: str) -> None:
    """An algorithm of the user's may hand over what `clip` gives it, a tensor on its device."""
    attempt = Attempt(
        begin(place, tmp_path / "run"), metrics=lambda step: {"loss": torch.tensor(0.5), "grad_norm": 2.0}
    )  # type: ignore[dict-item]
    attempt.go()
    assert attempt.journal.rows(METRICS)[0] == {"step": 1, "loss": 0.5, "grad_norm": 2.0}


@PLACES
def test_it_says_what_and_how_far(tmp_path: Path, place: str) -> None:
    attempt = Attempt(begin(place, tmp_path / "run"), every=3)
    attempt.go()
    assert attempt.told.said[0] == ("toy", TOTAL)
    assert [said[0] for said in attempt.told.said[1:-1]] == list(range(1, 7))
    assert attempt.told.said[3] == (3, "truth 0.40")
    assert attempt.told.said[-1] == "truth 0.20"
    plain = Attempt(begin(place, tmp_path / "plain"), evaluates=False)
    plain.go()
    assert plain.told.said[-1] == "nll 0.167"


@PLACES
def test_a_judge_sees_all_evaluations_and_the_best_so_far(tmp_path: Path, place: str) -> None:
    attempt = Attempt(begin(place, tmp_path / "whole"), judges=True)
    attempt.go()
    rows = logs(attempt.journal)["evaluations.jsonl"]
    assert [row["rows"] for row in rows] == [list(range(n + 1)) for n in range(7)]
    kept = {row["step"]: row["best"] for row in rows}
    assert kept[1] is None  # the present evaluation is judged before it may become the best
    assert len({kept[2], kept[3], kept[6]}) == 3
    assert kept[3] == kept[4] == kept[5]


@pytest.mark.parametrize("cut", range(1, TOTAL))
@pytest.mark.parametrize("checkpoint_every", [1, 2, 3, 4])
def test_a_judge_sees_the_same_after_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int, checkpoint_every: int
) -> None:
    """All evaluations so far, and the best as it was: a later best that the resumed loop has yet to reach is taken back."""
    whole = Attempt(on_disk(tmp_path / "whole"), judges=True)
    whole.go()
    attempt = Attempt(on_disk(tmp_path / "cut"), cut, checkpoint_every, judges=True)
    with monkeypatch.context() as patch:
        patch.setattr(driver.time, "monotonic", lambda: float(attempt.state.step))  # a second a step
        patch.setattr(journal, "forget_aside", lambda checkpoints: None)  # as if the power went before it could
        with pytest.raises(PowerCutError):
            attempt.go()
    again = Attempt(on_disk(tmp_path / "cut"), judges=True)
    again.go()
    assert logs(again.journal) == logs(whole.journal)
    assert number_of(again.journal.kept(BEST)) == number_of(whole.journal.kept(BEST)) is not None
    assert not list((tmp_path / "cut/checkpoints").glob("best-*"))


def test_a_loop_that_is_told_to_stop(tmp_path: Path) -> None:
    attempt = Attempt(on_disk(tmp_path / "run"), judges=True, stop_at=4, checkpoint_seconds=1e9)
    outcome = attempt.go()
    assert (outcome.stopped, outcome.best_step, attempt.state.step) == ("the truth fell", 2, 4)
    assert [row["step"] for row in logs(attempt.journal)["metrics.jsonl"]] == [1, 2, 3, 4]
    assert attempt.told.said[-1] == "stopped at step 4: the truth fell"
    assert attempt.told.said[-2] == (4, "truth 0.50  word 5")
    before = logs(attempt.journal)
    again = Attempt(on_disk(tmp_path / "run"), judges=True, stop_at=4)
    assert again.go().stopped == "the truth fell"  # what was stopped stays so when the process is killed after it
    assert again.state.step == 4
    assert logs(again.journal) == before
    memory = Attempt(MemoryJournal(), judges=True, stop_at=4)
    assert memory.go().stopped == "the truth fell"
    assert logs(memory.journal) == before
    assert memory.told.said == attempt.told.said


@PLACES
def test_the_last_step_needs_no_stopping(tmp_path: Path, place: str) -> None:
    assert Attempt(begin(place, tmp_path / "run"), judges=True, stop_at=TOTAL).go().stopped == ""


def test_a_loop_that_waits_has_lost_nothing(tmp_path: Path) -> None:
    """However rare checkpoints are, there is one of the step before somebody is waited for."""
    whole = Attempt(on_disk(tmp_path / "whole"))
    whole.go()
    waiting = Attempt(on_disk(tmp_path / "run"), wait_at=3, checkpoint_seconds=1e9)
    with pytest.raises(WaitingError):
        waiting.go()
    assert waiting.told.said[-1] == "waits at step 3"
    again = Attempt(on_disk(tmp_path / "run"))
    again.go()
    assert again.told.said[1] == (3, "resumed")
    assert logs(again.journal) == logs(whole.journal)


@PLACES
def test_what_goes_on_between_the_steps(tmp_path: Path, place: str) -> None:
    """`around` wraps the loop's steps, from where they go on, and sees the state."""
    seen: list[tuple[int, int]] = []

    def around(state: State, steps: Iterator[Step]) -> Iterator[Step]:
        for step in steps:
            yield step
            seen.append((step.number, state.step))

    network = one_number()
    toy = Counting(network, lambda step: {})
    drive(toy, TOTAL, SETUP, begin(place, tmp_path / "run"), Env(), what="toy", around=around)
    assert seen == [(n, n) for n in range(1, 7)]


@PLACES
def test_texts_with_odd_line_ends_are_one_row(tmp_path: Path, place: str) -> None:
    """U+2028 and its like end a line for Python's splitlines, and for nobody else who reads JSONL."""
    kept = begin(place, tmp_path / "run")
    rows = [{"step": 1, "response": f"one{end}two"} for end in ("\u2028", "\x85", "\x0c", "\r\n", "\n")]
    kept.append(SAMPLES, rows)
    assert kept.rows(SAMPLES) == rows


@PLACES
def test_loops_within_a_loop_have_logs_of_their_own(tmp_path: Path, place: str) -> None:
    whole = begin(place, tmp_path / "run")
    for part in (whole, whole.child("members/1")):
        Attempt(part, every=3).go()
    assert logs(whole.child("members/1")) == logs(whole)
    assert whole.child("members/2").rows(METRICS) == []
    assert number_of(whole.child("members/1").kept(BEST)) == number_of(whole.kept(BEST)) is not None
