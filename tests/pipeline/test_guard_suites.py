"""The adapters of lm-eval and Inspect: against stand-ins, and against the real ones where they are installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trueward.extras import is_installed
from trueward.pipeline.guards import inspect_suite, lm_eval_suite
from trueward.pipeline.guards.guard_job import GuardFailedError, GuardJob
from trueward.pipeline.guards.guard_spec import read

sys.path.insert(0, str(Path(__file__).parent))
import standing_in

CPU = torch.device("cpu")
YAML = """
task: tiny_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/docs.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: [" warm", " dull"]
doc_to_target: 0
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

@task
def film(word="a"):
    samples = [Sample(input=f"the film {i}", target=word, id=i) for i in range(9)]
    return Task(dataset=samples, solver=generate(), scorer=includes())
"""
CHAT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def job(name: str) -> GuardJob:
    spec = read(name)
    return GuardJob(spec.name, spec.kind, spec.task, spec.options, spec.limit or 6, 0, {"max_new_tokens": 4}, "", "")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standing_in.write(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lm_eval", "inspect_ai", "inspect_ai.scorer"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    yield
    for name in ("lm_eval", "inspect_ai", "inspect_ai.scorer"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("stand_in")
def test_of_lm_eval_the_first_metric_with_one_number_an_item_counts(baseline: Path, tmp_path: Path) -> None:
    model = baseline / "sft/model"
    scores = lm_eval_suite.run(job("lm-eval:t"), model, "cpu", tmp_path)
    assert scores == {f"t/{i}": float(bool(i % 5)) for i in range(6)}
    lower = lm_eval_suite.run(job("lm-eval:t,metric=loss,filter=strict"), model, "cpu", tmp_path)
    assert lower["t/3"] == -3.0, "of what is better lower, higher is better"
    with pytest.raises(ValueError, match="metric=several; there are: acc, loss"):
        lm_eval_suite.run(job("lm-eval:t,metric=several"), model, "cpu", tmp_path)
    with pytest.raises(ValueError, match="no filter 'other'; there are none, strict"):
        lm_eval_suite.run(job("lm-eval:t,filter=other"), model, "cpu", tmp_path)


@pytest.mark.usefixtures("stand_in")
def test_of_inspect_values_are_read_as_inspect_reads_them(baseline: Path, tmp_path: Path) -> None:
    model = baseline / "sft/model"
    scores = inspect_suite.run(job("inspect:t,epochs=2"), model, "cpu", tmp_path)
    assert scores == {"1": 0.0, "2": 0.5, "3": 1.0, "4": 0.0, "5": 0.5}, "a sample that failed has none"
    assert inspect_suite.run(job("inspect:t,scorer=several,metric=b"), model, "cpu", tmp_path)["4"] == 0.4
    for name, wrong in (
        ("inspect:t,scorer=several", r"several values \(a, b\); name one of them"),
        ("inspect:t,scorer=none", "no scorer 'none'; there are match, several"),
    ):
        with pytest.raises(ValueError, match=wrong):
            inspect_suite.run(job(name), model, "cpu", tmp_path)
    with pytest.raises(RuntimeError, match="no sandbox"):
        inspect_suite.run(job("inspect:fails"), model, "cpu", tmp_path)


def test_older_samples_without_metrics_are_refused_in_a_line() -> None:
    with pytest.raises(ValueError, match="there are: none"):
        lm_eval_suite.of_task("t", [{"doc_id": 0}], {}, {})
    assert inspect_suite.of_samples([SimpleNamespace(id=1, scores=None)], float, {}) == {}


def real(module: str) -> bool:
    """Whether the real package is here, which a stand-in is not."""
    return is_installed(module)


@pytest.mark.skipif(not real("lm_eval"), reason="lm-eval is not installed")
def test_a_task_of_the_real_lm_eval(baseline: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(YAML.format(folder=tmp_path))
    (tmp_path / "docs.jsonl").write_text("".join(f'{{"text": "the film is {w}"}}\n' for w in ("a", "the", "so", "not")))
    found: Any = job(f"lm-eval:tiny_choice,include_path={tmp_path},limit=3")
    scores = found.run(tmp_path / "job/sft", baseline / "sft/model", CPU, 5.0)
    assert list(scores) == ["tiny_choice/0", "tiny_choice/1", "tiny_choice/2"]
    assert set(scores.values()) <= {0.0, 1.0}
    with pytest.raises(GuardFailedError, match="no_such_task"):
        job("lm-eval:no_such_task").run(tmp_path / "job/other", baseline / "sft/model", CPU, 5.0)


@pytest.mark.skipif(not real("inspect_ai"), reason="inspect-ai is not installed")
def test_a_task_of_the_real_inspect(baseline: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = tmp_path / "model"
    tokenizer = AutoTokenizer.from_pretrained(baseline / "sft/model")
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(model)
    AutoModelForCausalLM.from_pretrained(baseline / "sft/model").save_pretrained(model)
    (tmp_path / "film.py").write_text(TASK)
    found = job(f'inspect:{tmp_path}/film.py@film,args={{word="the"}},limit=5')
    scores = found.run(tmp_path / "job/sft", model, CPU, 5.0)
    assert list(scores) == ["0", "1", "2", "3", "4"]
    assert set(scores.values()) <= {0.0, 1.0}
