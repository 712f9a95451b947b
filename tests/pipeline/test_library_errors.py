"""A library's exception, or a user's own code's, is one line: known before anything is trained where it can be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward.cli import unexpected
from trueward.models import loading

Command = Callable[..., tuple[int, str, str]]
STRICT = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant') }}{% endif %}{{ m['content'] }} {% endfor %}"
)
BROKEN = "{% for m in messages %}{{ m['content'] + 1 }}{% endfor %}"
USER, ANSWER = {"role": "user", "content": "the film"}, {"role": "assistant", "content": "is good"}
SYSTEM = {"role": "system", "content": "Be brief."}


def save(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def line_of(answer: tuple[int, str, str]) -> str:
    code, _, err = answer
    assert code == 2, err
    assert err.startswith("trueward: "), err
    assert err.count("\n") == 1, err
    return err.removeprefix("trueward: ").rstrip("\n")


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model with this chat template."""

    def made(template: str) -> Path:
        folder = tmp_path_factory.mktemp("chatty") / "model"
        network = loading.causal("trueward:tiny", 5, torch.device("cpu"))
        network.tokenizer.chat_template = template
        loading.save(network, folder)
        return folder

    return made


def talks(*bad: list[Any]) -> list[Any]:
    """Forty conversations, of which the 31st is this one."""
    rows = [{"messages": [{"role": "user", "content": f"the film {i}"}, ANSWER]} for i in range(40)]
    return [*rows[:30], *({"messages": messages} for messages in bad), *rows[30:]]


TEMPLATES = {
    "no system role": (STRICT, [SYSTEM, USER, ANSWER], "System role not supported"),
    "roles that don't alternate": (STRICT, [USER, USER, ANSWER], "Conversation roles must alternate user/assistant"),
    "a mistake of its own": (BROKEN, [USER, ANSWER], "can only concatenate str"),
}


@pytest.mark.parametrize("case", TEMPLATES)
def test_a_template_that_refuses_a_row_names_it(
    command: Command, small: Any, strict: Callable[[str], Path], tmp_path: Path, case: str
) -> None:
    template, messages, reason = TEMPLATES[case]
    path = save(tmp_path / "talks.jsonl", [{"messages": messages}] if case.startswith("a ") else talks(messages))
    changes = (f"data.demonstrations={path}", f"model.base={strict(template)}")
    line = line_of(command(*small(*changes), "--until", "sft", "--out", str(tmp_path / "run")))
    number = 1 if case.startswith("a ") else 31
    assert line.startswith(f"{path}, line {number}: the model's chat template refuses the conversation ")
    assert reason in line
    assert not (tmp_path / "run/sft").exists()


def test_a_comparison_that_the_template_refuses_is_named_before_sft(
    command: Command, small: Any, strict: Callable[[str], Path], tmp_path: Path
) -> None:
    pairs = [{"prompt": [USER], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "is dull"}]} for _ in range(9)]
    people = save(tmp_path / "people.jsonl", [*pairs, {**pairs[0], "prompt": [SYSTEM, USER]}])
    changes = (
        f"data.demonstrations={save(tmp_path / 'talks.jsonl', talks())}",
        f"model.base={strict(STRICT)}",
        "comparisons.source=file",
        f"comparisons.path={people}",
        "evaluation.truths=[]",
    )
    line = line_of(command(*small(*changes), "--out", str(tmp_path / "run")))
    assert line.startswith(f"{people}, line 10: the model's chat template refuses the conversation 'system: Be brief.")
    assert not (tmp_path / "run").exists()


def test_a_prompt_that_a_reward_model_refuses_is_named_before_sft(
    command: Command, small: Any, strict: Callable[[str], Path], baseline: Path, tmp_path: Path
) -> None:
    """A reward model from elsewhere has a chat template of its own."""
    free = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    reward = loading.reward(baseline / "reward_model/model", torch.device("cpu"))
    for name in (loading.READS, loading.MEAN, loading.SD):
        if hasattr(reward.model.config, name):
            delattr(reward.model.config, name)
    reward.tokenizer.chat_template = STRICT
    loading.save(reward, tmp_path / "reward")
    path = save(tmp_path / "talks.jsonl", talks([SYSTEM, USER, ANSWER]))
    base = (f"data.demonstrations={path}", f"model.base={strict(free)}")
    by_words = ("reward.kind=verifier", "reward.verifier=constraints", "reward.options={max_words=5}")
    for changes in (
        (f"reward.model={tmp_path / 'reward'}", "evaluation.truths=[]"),
        (*by_words, f'evaluation.truths=["model:{tmp_path}/reward"]'),
    ):
        line = line_of(command(*small(*base, *changes), "--out", str(tmp_path / "run")))
        assert line.startswith(
            f"{path}, line 31: the model's chat template refuses the conversation 'system: Be brief."
        )
        assert line.endswith(f"System role not supported; the model is the reward model {tmp_path / 'reward'}")
        assert not (tmp_path / "run").exists()


MINE = """
import json

def raises(completions):
    return [json.loads(c.response) for c in completions]

def two(first, second):
    return [1.0]

def lacking(prompts, completions, target, **kwargs):
    return [1.0] * len(prompts)
"""
SCORERS = {
    "mine:raises": "mine:raises raised JSONDecodeError: Expecting value: line 1 column 2 (char 1) ({folder}/mine.py, line 5)",
    "mine:two": "mine:two: expected a function of a list of completions, or of prompts and completions, as TRL calls it; ",
    "mine:lacking": "mine:lacking needs the column 'target', which no row of the prompts has; there are: none beside",
    "mine:nothing": "mine:nothing: the module mine has no nothing",
    "nowhere:f": "nowhere:f: there is no module nowhere; it is searched in the current directory and on PYTHONPATH",
    "verifier:exakt": "there is no verifier 'exakt'; those that ship are exact, ",
    "c": "evaluation.truths: there is no simulated utility 'c' for trueward:toy; known: a, b; or give model:DIRECTORY",
    "model:nowhere/at/all": "evaluation.truths.0: nowhere/at/all: no such model directory",
}


@pytest.mark.parametrize("name", SCORERS)
def test_a_truth_that_cannot_be_used_is_known_before_any_stage(
    command: Command, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    line = line_of(command(*small(f'evaluation.truths=["{name}"]'), "--out", str(tmp_path / "run")))
    assert SCORERS[name].format(folder=tmp_path) in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["mine:raises", "mine:two", "mine:lacking", "mine:nothing", "nowhere:f"])
def test_and_so_is_a_reward(
    command: Command, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    changes = ("reward.kind=verifier", f"reward.verifier={name}")
    line = line_of(command(*small(*changes), "--out", str(tmp_path / "run")))
    assert SCORERS[name].format(folder=tmp_path) in line
    assert not (tmp_path / "run").exists()


def test_weights_that_are_none(command: Command, small: Any, tmp_path: Path) -> None:
    """A .bin that torch can't read: its own text would advise to run what is in it."""
    loading.save(loading.causal("trueward:tiny", 5, torch.device("cpu")), tmp_path / "model")
    (tmp_path / "model/model.safetensors").unlink()
    (tmp_path / "model/pytorch_model.bin").write_text("no weights")
    line = line_of(command(*small(f"model.base={tmp_path / 'model'}"), "--quiet", "--out", str(tmp_path / "run")))
    assert line.startswith(
        f"{tmp_path / 'model'}: can't be loaded as a model: its files hold Python objects beside tensors"
    )
    assert "weights_only" not in line


def failing(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


@pytest.mark.parametrize(
    "error", [IndexError("list index out of range"), RecursionError("too deep\nand more"), KeyError()]
)
def test_what_nobody_foresaw_is_one_line(error: Exception) -> None:
    text, code = unexpected.line(failing(error))
    assert code == 2
    assert text.startswith(type(error).__name__)
    assert "\n" not in text
    assert "TRUEWARD_TRACEBACK=1 prints the traceback" in text


def test_a_mistake_of_trueward_s_own_has_another_code() -> None:
    from trueward.scorers.verifiers.constraints import words

    with pytest.raises(TypeError, match="expected string") as caught:
        words(3)  # type: ignore[arg-type]
    text, code = unexpected.line(caught.value)
    assert code == 1
    assert "a mistake in trueward, please report it" in text


def test_the_command_prints_the_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from trueward import config

    def breaks(*_: object) -> None:
        return [].pop()

    monkeypatch.setattr(config, "shipped", breaks)
    answer = command("recipes")
    assert "IndexError: pop from empty list" in line_of(answer)
    monkeypatch.setenv(unexpected.TRACEBACK, "1")
    with pytest.raises(IndexError):
        command("recipes")
