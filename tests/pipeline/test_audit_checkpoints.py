"""The audit of checkpoints: a run's own give the run's own verdict, a stopped audit goes on, other tools' names are read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import trueward
from trueward.artifacts import Artifact, read_json
from trueward.evaluation.evaluator import Evaluator
from trueward.models import loading
from trueward.pipeline.audit import whenever_new
from trueward.pipeline.audit_checkpoints import CheckpointsAudit
from trueward.pipeline.audit_setup import AuditSetup
from trueward.pipeline.checkpoint_files import checkpoints_of
from trueward.pipeline.optimisation import Optimisation
from trueward.progress import Progress
from trueward.training.env import Env

CHANGES = ("policy.steps=4", "evaluation.every=1", "evaluation.step_prompts=24", "evaluation.final_prompts=24")
FIGURES = (
    "truth",
    "truth_se",
    "truth_gain_z",
    "proxy",
    "kl",
    "kl_se",
    "length",
    "win_rate",
    "outlier_share",
    "verdict",
    "fall",
)
FILES = {"config.json": "{}", "model.safetensors": ""}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, climb: Callable[..., Artifact]) -> Path:
    """A run of which every evaluated policy was saved, as other tools save theirs."""
    home = tmp_path_factory.mktemp("audited")
    evaluate = Optimisation.evaluate

    def saving(self: Optimisation, step: int) -> Any:
        loading.save(self.policy, home / "saved" / f"checkpoint-{step}")
        return evaluate(self, step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Optimisation, "evaluate", saving)
        climb(home, "run", *CHANGES)
    return home


def test_the_audit_of_a_runs_own_checkpoints_is_the_runs_own(run: Path, tmp_path: Path) -> None:
    found = trueward.audit(
        run / "saved" / "checkpoint-*", reference=run / "run/sft", out=tmp_path / "audit", progress=False
    )
    report = read_json(run / "run" / "report.json")
    history = found.table["history"]
    assert [row["step"] for row in history] == [row["step"] for row in report["history"]]
    for mine, own in zip(history, report["history"], strict=True):
        for figure in FIGURES:
            assert mine.get(figure) == own.get(figure), (mine["step"], figure)
    own = report["verdict"]
    assert found.table["verdict"]["word"] == own["word"]
    assert found.table["verdict"]["numbers"] == own["numbers"]
    assert found.best_step == own["best_step"]
    for name, other in (("reference", "sft"), ("last", "policy")):
        for figure in FIGURES[:8]:
            assert found.table["policies"][name][figure] == report["policies"][other][figure]
    assert any("the checkpoint of step 0 was left out" in note for note in found.table["notes"])

    # Everything is kept: the same call measures nothing again, and loads no model.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "measure", lambda *_, **__: pytest.fail("measured again"))
        again = trueward.audit(
            run / "saved" / "checkpoint-*", reference=run / "run/sft", out=tmp_path / "audit", progress=False
        )
    assert timeless(again.table) == timeless(found.table)

    # One that was stopped goes on: what is missing is measured, to the same digits.
    kept = sorted((tmp_path / "audit/measured").glob("*.json"))
    for file in kept[::2]:
        file.unlink()
    resumed = trueward.audit(
        run / "saved" / "checkpoint-*", reference=run / "run/sft", out=tmp_path / "audit", progress=False
    )
    assert timeless(resumed.table) == timeless(found.table)


def test_a_judge_is_the_truth_and_its_calls_are_said_first(
    run: Path, tmp_path: Path, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairwise, beside the reference's answers: no more calls than were said."""
    service = serve(lambda body, before: {"text": "A" if len(body["messages"][0]["content"]) % 2 else "B"})
    recipe = tmp_path / "judges.toml"
    recipe.write_text(
        f'runtime.judge.cache = "{tmp_path}/calls.jsonl"\n[[evaluation.judge]]\nname = "strict"\nmodel = "m"\n'
        f'endpoint = "{service.address}"\nprinciples = ["short"]\nquestion = "{{principle}}|{{prompt}}|{{first}}|{{second}}"\n'
    )
    told: list[tuple[str, int]] = []
    monkeypatch.setattr(Progress, "tell", lambda self, text: told.append((text, len(service.bodies))))
    setup = AuditSetup(
        reference=str(run / "run/sft"),
        truths=(f"judge:{recipe}:strict",),
        prompts="",
        count=24,
        sampler={},
        seed=None,
        env=Env(device=torch.device("cpu")),
        proxy=None,
    )
    table = CheckpointsAudit(setup, tmp_path / "audit")(checkpoints_of([str(run / "saved/checkpoint-[24]")]))
    line, asked_before = next((text, asked) for text, asked in told if text.startswith("judge "))
    assert line == (
        "judge strict (pairwise, m): 2 evaluations × 24 prompts × 2 orders + 96 at the end and for its scale "
        "= 192 calls at most"
    )
    assert asked_before == 0
    assert 0 < len(service.bodies) <= 192
    assert table["policies"]["last"]["truth"] is not None


def timeless(table: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in table.items() if key != "notes"}, sort_keys=True)


def test_models_of_no_run_with_functions_of_ones_own(run: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"this film number {i}"}) + "\n" for i in range(30)))
    plain = tmp_path / "base"
    loading.save(loading.causal(str(run / "run/sft/model"), 0, loading.pick_device("cpu")), plain)
    found = trueward.audit(
        [run / "saved/checkpoint-2", run / "saved/checkpoint-4"],
        reference=plain,
        prompts=prompts,
        truths={"short": lambda cs: [-len(c.response) for c in cs]},
        proxy=[lambda cs: [c.response.count("e") for c in cs]],
        max_new_tokens=8,
        progress=False,
    )
    assert [row["step"] for row in found.table["history"]] == [0, 2, 4]
    assert found.table["truths"] == ["short"]
    assert found.table["history"][1]["kl"] is not None
    assert any("more prompts are needed to measure a peak again" in note for note in found.table["notes"])


def test_names_of_checkpoints(tmp_path: Path) -> None:
    for place in (
        "out/checkpoint-10",
        "out/checkpoint-9",
        "verl/global_step_30/actor/huggingface",
        "out/checkpoint-11/x",
    ):
        (tmp_path / place).mkdir(parents=True)
        for name, text in FILES.items():
            (tmp_path / place / name).write_text(text)
    assert [one.step for one in checkpoints_of([str(tmp_path / "out/checkpoint-*")])] == [9, 10]  # 11 holds no model
    (one,) = checkpoints_of([str(tmp_path / "verl/*/actor/huggingface")])
    assert one.step == 30
    with pytest.raises(ValueError, match="there is no checkpoint of this name"):
        checkpoints_of([str(tmp_path / "none-*")])
    (tmp_path / "step-30").mkdir()
    (tmp_path / "step-30/config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"its step is 30, and so is that of"):
        checkpoints_of([str(tmp_path / "step-30"), str(tmp_path / "verl/*/actor/huggingface")])


def test_what_is_half_written_is_not_read(tmp_path: Path) -> None:
    """Each poll finds another state; a file is given once it has been the same for two polls."""
    polls = iter([{"a": 1}, {"a": 2}, {"a": 2}, {"a": 2, "b": 1}, {"a": 2, "b": 1}, {"a": 2, "b": 1}])
    now: dict[str, int] = {}

    def listed() -> list[str]:
        now.clear()
        now.update(next(polls))
        return list(now)

    waiting = whenever_new(listed, lambda one: now[one], idle=99, poll=1, sleep=lambda seconds: None)
    seen = [next(waiting), next(waiting)]
    assert seen == [["a"], ["a", "b"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "expected one of these: checkpoints"),
        ({"checkpoints": "x", "samples": "y"}, "expected one of these: checkpoints"),
        ({"checkpoints": "x"}, "say what the checkpoints are measured against"),
        (
            {"checkpoints": "x", "reference": "trueward:tiny", "truths": "length"},
            "so say what to answer: --prompts FILE",
        ),
        ({"checkpoints": "x", "reference": "trueward:tiny"}, "say what the truth is: --truth verifier:NAME"),
        ({"samples": "x", "truths": "score", "prompts": "p.jsonl"}, "--prompts is for checkpoints"),
    ],
)
def test_what_is_missing_is_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        trueward.audit(progress=False, **arguments)
    assert "\n" not in str(error.value)


def test_a_trainers_callback_looks_at_each_checkpoint(run: Path, tmp_path: Path) -> None:
    """The trainer's random numbers stay what they were, and training is stopped where that was asked for."""
    torch = pytest.importorskip("torch")
    from trueward.integrations import AuditCallback

    home = tmp_path / "out"
    home.mkdir()
    (home / "checkpoint-1").symlink_to(run / "saved/checkpoint-1")
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"this film number {i}"}) + "\n" for i in range(24)))
    watch = AuditCallback(run / "run/sft", prompts, "length", stop=True, max_new_tokens=6)
    arguments = SimpleNamespace(output_dir=str(home), save_total_limit=None)
    state = SimpleNamespace(is_world_process_zero=True, global_step=1)
    control = SimpleNamespace(should_training_stop=False)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    watch.on_train_begin(arguments, state, control)
    watch.on_save(arguments, state, control)
    assert torch.equal(torch.rand(3), expected)
    assert watch.audit is not None
    assert [row["step"] for row in watch.audit.table["history"]] == [0, 1]
    assert (home / "audit/audit.html").is_file()
    assert not control.should_training_stop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trueward.Audit, "verdict", "hacking")
        watch.on_save(arguments, state, control)
    assert control.should_training_stop


def test_integrations_import_nothing_of_others() -> None:
    program = "import sys, trueward.integrations; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
