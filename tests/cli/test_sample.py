"""`trueward sample` with a chat model: prompts are the user's messages, or whole conversations as JSON."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward import load_policy
from trueward.cli.sample import typed
from trueward.data.asked import asked
from trueward.models import loading
from trueward.records import Message, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample

Command = Callable[..., tuple[int, str, str]]
GREEDY = ("--temperature=0", "--max-new-tokens=6")
WORDS = ["system", "user", "assistant", "be", "brief", "film", "great", "bad", "?", "."]
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
STRICT = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE


@pytest.fixture
def chatting(make_policy: Callable[..., Any], tmp_path: Path) -> str:
    """A chat model on disk."""
    network = make_policy(words=WORDS)
    network.tokenizer.chat_template = TEMPLATE
    loading.save(network, tmp_path / "chatting")
    return str(tmp_path / "chatting")


def prompt(*turns: tuple[str, str]) -> Prompt:
    return Prompt(messages=tuple(Message(role=role, content=text) for role, text in turns))


def answers(model: str, *prompts: Prompt) -> list[str]:
    network = loading.causal(model, 0, torch.device("cpu"))
    drawn = sample(network, prompts, SamplingParams(0.0, 6), Draws.purpose(0, "sample"))
    return [" ".join(completion.response.split()) for completion in drawn.completions]


def printed(out: str) -> list[str]:
    return [row.split("│")[2].strip().removesuffix(" … (cut)") for row in out.splitlines() if "│" in row]


@pytest.fixture
def wide(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A command in a wide terminal, with `typed` on standard input."""
    monkeypatch.setenv("COLUMNS", "400")

    def call(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        return command("sample", *arguments, *GREEDY)

    return call


def test_a_prompt_is_the_users_message(wide: Command, chatting: str) -> None:
    code, out, err = wide(chatting, "-p", "film ?")
    assert (code, err) == (0, "")
    assert printed(out) == answers(chatting, prompt(("user", "film ?")))
    assert printed(wide(chatting, "-p", "film ?", "--system", "be brief")[1]) == answers(
        chatting, prompt(("system", "be brief"), ("user", "film ?"))
    )
    assert printed(wide(chatting, "-p", "film ?", "--plain")[1]) == answers(chatting, Prompt(text="film ?"))
    assert "film ?" in out
    assert "user: film ?" not in out


def test_messages_on_standard_input(wide: Command, chatting: str) -> None:
    turns = (("user", "film ?"), ("assistant", "bad ."), ("user", "great ?"))
    messages = [{"role": role, "content": text} for role, text in turns]
    expected = answers(chatting, prompt(*turns), prompt(("user", "film")))
    code, out, err = wide(chatting, typed=f"{json.dumps(messages)}\nfilm\n")
    assert (code, err) == (0, "")
    assert [row for row in printed(out) if row] == expected
    for text in (json.dumps(messages, indent=2), json.dumps({"messages": messages})):
        assert [row for row in printed(wide(chatting, typed=text)[1]) if row] == expected[:1]


def test_what_standard_input_holds() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "film"}]}
    assert typed("film\n\n  great ? \n") == [Prompt(text="film"), Prompt(text="great ?")]
    assert typed(json.dumps(message)) == [prompt(("user", "film"))]
    assert typed("[film]\n{great}\n[1]") == [Prompt(text="[film]"), Prompt(text="{great}"), Prompt(text="[1]")]
    assert typed(json.dumps([message]), plain=True) == [Prompt(text=json.dumps([message]))]
    tools = [{"type": "function", "function": {"name": "f"}}]
    (read,) = typed(json.dumps({"messages": [message], "tools": tools}))
    assert read.tools == tuple(tools)
    with pytest.raises(ValueError, match=r'standard input, line 2, row 1: "messages\[0\].content": expected a string'):
        typed('film\n{"messages": [{"role": "user", "content": 7}]}')


@pytest.mark.parametrize("arguments", [("nosuch",), ("trueward:tiny", "--compare", "nosuch")])
def test_a_name_that_is_no_model_is_answered_before_standard_input_is_read(
    wide: Command, arguments: tuple[str, ...]
) -> None:
    code, out, err = wide(*arguments, typed="")
    assert (code, out) == (2, "")
    assert err.startswith("trueward: nosuch: there is no such run")


def test_what_has_no_place_is_one_line(wide: Command, chatting: str, baseline: Path) -> None:
    system = json.dumps([{"role": "system", "content": "be"}, {"role": "user", "content": "film"}])
    cases = {
        (
            chatting,
            "--system",
            "be brief",
            "-p",
            "film",
            "--plain",
        ): "a plain prompt is a text that is continued, so there is no place for a system message",
        (
            str(baseline),
            "--system",
            "be brief",
            "-p",
            "film",
        ): "the model's tokenizer has no chat template, so there is no place for a system message",
        (str(baseline),): "the model's tokenizer has no chat template, so there is no place for messages; give text",
        (chatting, "--system", "be brief"): "expected a system message, got two: the conversation begins with one",
    }
    for arguments, message in cases.items():
        code, out, err = wide(*arguments, typed=system)
        assert (code, out, err) == (2, "", f"trueward: {arguments[0]}: {message}\n")


def test_a_template_that_refuses_is_one_line(wide: Command, make_policy: Callable[..., Any], tmp_path: Path) -> None:
    network = make_policy(words=WORDS)
    network.tokenizer.chat_template = STRICT
    loading.save(network, tmp_path / "strict")
    name = str(tmp_path / "strict")
    refused = r"the model's chat template refuses the conversation 'system: be\nuser: film': no system role"
    assert wide(name, "-p", "film", "--system", "be")[::2] == (2, f"trueward: {name}: {refused}\n")
    with pytest.raises(ValueError, match=re.escape(refused)):
        load_policy(name).generate("film", system="be")


def test_typed_control_tokens_are_text(wide: Command, chatting: str) -> None:
    for more in ((), ("--plain",)):
        code, out, err = wide(chatting, "-p", "film<|end|><|begin|>great", *more)
        assert (code, err) == (0, "")
        assert "film<|end|><|begin|>great" in out


def test_python_puts_a_text_through_the_template_too(chatting: str) -> None:
    policy = load_policy(chatting)
    same = {"temperature": 0, "max_new_tokens": 6}
    messages = {"messages": [{"role": "user", "content": "film ?"}]}
    assert policy.generate("film ?", **same) == policy.generate(messages, **same)
    assert (
        " ".join(policy.generate("film ?", plain=True, **same).split()) == answers(chatting, Prompt(text="film ?"))[0]
    )
    system = prompt(("system", "be brief"), ("user", "film ?"))
    assert policy.generate("film ?", system="be brief", **same) == policy.generate(system, **same)
    assert policy.logprob("film ?", " great") == policy.logprob(messages, " great")
    assert policy.logprob("film ?", " great") != policy.logprob("film ?", " great", plain=True)
    assert policy.logprob("film ?", " great", system="be brief") == policy.logprob(system, " great")


def test_a_model_without_a_template_reads_plain_text(make_policy: Callable[..., Any]) -> None:
    tokenizer = make_policy(words=WORDS).tokenizer
    assert asked(Prompt(text="film"), tokenizer) == Prompt(text="film")
