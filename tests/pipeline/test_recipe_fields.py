"""Every setting does what its name says: changed, it changes the fingerprint of the stages it belongs to, and what
they make. A field without an entry here fails the test."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from trueward import artifacts, config
from trueward.batches import micro_batches
from trueward.models import loading
from trueward.pipeline import KNOWN_STAGES
from trueward.pipeline.process import process_settings
from trueward.pipeline.surroundings import run_env
from trueward.progress import Progress
from trueward.sampling import fast
from trueward.training.journal import DirectoryJournal, read_log

sys.path.insert(0, str(Path(__file__).parent))
from changed_settings import (
    AGAIN,
    CHANGES,
    CHOSEN,
    DISTILLED,
    DPO,
    ELSEWHERE,
    GRPO,
    MINE,
    ONLINE,
    RLOO,
    WEIGHTS,
    Change,
    fields,
)


def test_every_field_has_an_entry() -> None:
    assert sorted(name for name, _ in fields()) == sorted([*CHANGES, *ELSEWHERE])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, baseline: Path) -> Iterator[Path]:
    """Files and models to point settings at."""
    folder = tmp_path_factory.mktemp("inputs")
    loading.save(loading.causal("trueward:tiny", 5, torch.device("cpu")), folder / "base")
    chatty = loading.causal("trueward:tiny", 5, torch.device("cpu"))
    chatty.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    loading.save(chatty, folder / "chatty")
    shutil.copytree(baseline / "reward_model/model", folder / "reward")
    talking = loading.reward(folder / "reward", torch.device("cpu"))
    for name in (loading.READS, loading.MEAN, loading.SD):  # as if it came from elsewhere
        delattr(talking.model.config, name)
    talking.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    loading.save(talking, folder / "talking")
    model = loading.reward(folder / "reward", torch.device("cpu"))
    with torch.no_grad():
        model.model.score.weight += 0.1
    loading.save(model, folder / "reward")
    against = loading.reward(baseline / "reward_model/model", torch.device("cpu"))
    with torch.no_grad():
        against.model.score.weight *= -1
    loading.save(against, folder / "against")
    whole = (baseline / "comparisons/comparisons.jsonl").read_text().splitlines(keepends=True)
    (folder / "people.jsonl").write_text("".join(whole[:-1]))
    (folder / "others.jsonl").write_text("".join(whole[1:]))
    words = ("film", "movie", "story", "comedy", "drama", "sequel")
    rows = [{"prompt": f"{a} {b} {c}", "completion": " is warm ."} for a in ("the", "a") for b in words for c in words]
    (folder / "shown.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": row["prompt"]}) + "\n" for row in rows))
    (folder / "mine.py").write_text(MINE)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


ORDER = (*KNOWN_STAGES[:-1], "control", "report")


def digests(run: Path) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in json.loads((run / "pipeline.json").read_text())}


@pytest.fixture(scope="module")
def before(baseline: Path, climb: Any) -> Callable[..., Path]:
    """What a change is compared with: the baseline, or one run for each set of other settings, made when first asked for."""
    made: dict[tuple[tuple[str, ...], str], Path] = {}

    def run(also: tuple[str, ...], until: str) -> Path:
        if not also:
            return baseline
        if (also, until) not in made:
            made[also, until] = baseline.parent / f"before {len(made)}"
            climb(baseline.parent, made[also, until].name, *also, until=until)
        return made[also, until]

    return run


@pytest.mark.parametrize(
    ("name", "change"),
    [*CHANGES.items(), *AGAIN],
    ids=[*CHANGES, *(f"{n}={c.value},{','.join(c.also)}" for n, c in AGAIN)],
)
def test_field(
    name: str,
    change: Change,
    folder: Path,
    baseline: Path,
    before: Callable[..., Path],
    climb: Any,
    made_by: Callable[[Path], dict[str, Any]],
    request: pytest.FixtureRequest,
) -> None:
    until = max(change.stage, change.file.split("/")[0], key=ORDER.index)
    also = tuple(setting.format(folder=folder) for setting in change.also)
    other = before(also, until)
    after = baseline.parent / request.node.callspec.id
    climb(baseline.parent, after.name, *also, f"{name}={change.value.format(folder=folder)}", until=until)
    one, two = digests(other), digests(after)
    changed = [stage for stage in two if two[stage] != one.get(stage)]
    assert changed[:1] == [change.stage]
    assert changed == list(two)[list(two).index(change.stage) :], "a stage's digest holds those of its parents"
    assert made_by(after)[change.file] != made_by(other)[change.file]


def test_every_kind_of_policy_is_another_one(before: Callable[..., Path], made_by: Any, baseline: Path) -> None:
    """All that train end elsewhere; best-of-n trains nothing, and its answers are others than the SFT policy's."""
    runs = [baseline, *(before(also, "policy") for also in (GRPO, RLOO, DPO, ONLINE, DISTILLED))]
    assert {config.read(str(run / "recipe.toml")).policy.kind for run in runs} | {"best_of_n"} == set(config.KINDS)
    assert len({made_by(run)[f"policy/{WEIGHTS}"] for run in runs}) == len(runs)
    chosen = made_by(before(CHOSEN, "evaluation"))
    assert chosen[f"policy/{WEIGHTS}"] == chosen[f"sft/{WEIGHTS}"]
    assert chosen["evaluation/policy.jsonl"] != chosen["evaluation/sft.jsonl"]


@pytest.mark.parametrize("field", ["std", "kl", "reducer", "ratio", "loss", "labels"])
def test_every_choice_of_a_kind_is_tried(field: str) -> None:
    name = f"policy.{'dpo' if field in ('loss', 'labels') else 'group'}.{field}"
    tried = {c.value for n, c in [*CHANGES.items(), *AGAIN] if n == name}
    annotation = dict(fields())[name]
    assert tried == set(get_args(annotation.annotation)) - {annotation.default}


def test_online_dpo_takes_comparisons_for_an_examination_only(
    before: Callable[..., Path], folder: Path, baseline: Path, climb: Any
) -> None:
    """With a ready reward model none are made; offline, DPO has to have them all the same."""
    summary = artifacts.read_json(before(ONLINE, "policy") / "policy/manifest.json")["summary"]
    assert 0 <= summary["held_out_accuracy"] <= 1
    ready = f"reward.model={folder}/reward"
    climb(baseline.parent, "online with a reward model", *ONLINE, ready)
    run = baseline.parent / "online with a reward model"
    assert "comparisons" not in digests(run)
    assert "held_out_accuracy" not in artifacts.read_json(run / "policy/manifest.json")["summary"]
    assert artifacts.read_json(run / "report.json")["annotators"] is None
    climb(baseline.parent, "offline with a reward model", *DPO, ready, until="policy")
    assert "comparisons" in digests(baseline.parent / "offline with a reward model")


def test_sampler_rows(monkeypatch: pytest.MonkeyPatch, baseline: Path, climb: Any) -> None:
    """How many answers stand beside each other; what each one says does not depend on it."""
    rows: list[int] = []
    start = fast.FastDecoder.start
    monkeypatch.setattr(fast.FastDecoder, "start", lambda self, n, width: (rows.append(n), start(self, n, width))[1])
    climb(baseline.parent, "sampler.engine.max_num_seqs", "sampler.engine.max_num_seqs=5", until="sft")
    assert {n for n in rows if n} == {5}, "0 is when all is written, and the cache goes"
    assert digests(baseline.parent / "sampler.engine.max_num_seqs")["sft"] != digests(baseline)["sft"]
    other = baseline.parent / "sampler.engine.max_num_seqs/sft/reference.jsonl"
    assert other.read_text() == (baseline / "sft/reference.jsonl").read_text()


def test_name_and_description(baseline: Path, climb: Any) -> None:
    """A name is said in the report and nowhere else; a description is only kept."""
    climb(baseline.parent, "named", "name=other", "description=Words.")
    run = baseline.parent / "named"
    one, two = digests(baseline), digests(run)
    assert [stage for stage in two if two[stage] != one[stage]] == ["report"]
    assert artifacts.read_json(run / "report.json")["name"] == "other"
    assert "other" in (run / "report.html").read_text()
    assert config.read(str(run / "recipe.toml")).description == "Words."


def recipe(*changes: str) -> config.Recipe:
    return config.read("tiny", ["runtime.threads=1", *changes])


@pytest.mark.parametrize(
    "change", ["device=cpu", "threads=2", "micro_batch_tokens=97", "checkpoint_seconds=0", "tracking=tensorboard"]
)
def test_runtime_is_no_part_of_a_digest(tmp_path: Path, climb: Any, change: str, baseline: Path) -> None:
    found = climb(tmp_path, "run", f"runtime.{change}", until="prepare")
    assert found.digest == digests(baseline)["prepare"]


def test_runtime_device_and_threads() -> None:
    assert run_env(recipe("runtime.device=cpu"), Progress()).device == torch.device("cpu")
    for threads in (2, 1):
        with process_settings(recipe(f"runtime.threads={threads}")):
            assert torch.get_num_threads() == threads


def test_runtime_micro_batch_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, climb: Any, baseline: Path
) -> None:
    """Memory, not mathematics: more passes for the same batch, and the same weights but for rounding."""
    from trueward.algorithms import sft

    passes: list[int] = []

    def counted(lengths: torch.Tensor, budget: int, together: torch.Tensor | None = None) -> list[torch.Tensor]:
        groups = micro_batches(lengths, budget, together)
        assert budget == 97
        assert all(int(lengths[g].sum()) <= budget for g in groups)
        passes.append(len(groups))
        return groups

    monkeypatch.setattr(sft, "micro_batches", counted)
    climb(tmp_path, "run", "runtime.micro_batch_tokens=97", until="sft")
    assert min(passes) > 1
    one, two = (
        loading.causal(str(run / "sft/model"), 0, torch.device("cpu")).model for run in (tmp_path / "run", baseline)
    )
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("seconds", "every"), [("0", True), ("1000", False)])
def test_runtime_checkpoint_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, climb: Any, seconds: str, every: bool
) -> None:
    """One at every step, or only the last."""
    saved: list[int] = []
    save = DirectoryJournal.save
    monkeypatch.setattr(
        DirectoryJournal, "save", lambda self, state, more: (saved.append(state.step), save(self, state, more))[1]
    )
    climb(tmp_path, "run", f"runtime.checkpoint_seconds={seconds}", until="sft")
    steps = [row["step"] for row in read_log(tmp_path / "run/sft/metrics.jsonl")]
    assert len(steps) > 1
    assert saved == (steps if every else steps[-1:])
