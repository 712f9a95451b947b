"""What is asked of a vLLM, wherever it runs: load weights, answer token ids with token ids and their log-probs, sleep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class EngineLostError(RuntimeError):
    """The engine has died, or doesn't answer any more. It may be started again."""


@dataclass(frozen=True)
class TokenRequest:
    """One prompt as token ids, and how to go on from it."""

    ids: Sequence[int]
    max_tokens: int
    temperature: float
    seed: int
    stops: Sequence[int]
    """The tokens that end an answer; the last one is part of it."""
    bias: Mapping[int, float] = field(default_factory=dict)
    """What is added to the logits of some tokens."""
    reads_prompt: bool = False
    """Whether the log-probs of the prompt's own tokens are wanted, too."""


@dataclass(frozen=True)
class TokenAnswer:
    """The ids of an answer and their log-probs, in nats, at the request's temperature."""

    ids: Sequence[int]
    logprobs: Sequence[float]
    prompt_logprobs: Sequence[float] = ()
    """Of the prompt's tokens from the second on, at temperature 1."""


class Vllm(Protocol):
    """A vLLM that trueward has started, or a server. What died raises `EngineLostError`, other failures `ValueError`."""

    is_shared: bool  # whether other processes of the run use the same one

    def start(self, folder: Path) -> None:
        """Make it ready, again if it had died. folder: a model's directory, whose weights it may start from."""

    def load(self, folder: Path) -> None:
        """Take the weights in this directory from now on."""

    def load_adapter(self, folder: Path, version: int) -> None:
        """Take the adapter in this directory from now on, on the weights that it has. version: another one each time."""

    def generate(self, requests: Sequence[TokenRequest]) -> list[TokenAnswer]:
        """One answer to each, in order."""

    def sleep(self) -> None:
        """Leave the device's memory to others until the next call, where it can."""

    def close(self) -> None:
        """End it, if trueward has started it."""


def checked(requests: Sequence[TokenRequest], answers: Sequence[TokenAnswer]) -> list[TokenAnswer]:
    """The answers, if they are such as were asked for. `ValueError` in one line: an engine may not return less in silence."""
    if len(answers) != len(requests):
        raise ValueError(f"vLLM: {len(requests)} prompts were sent, and {len(answers)} answers came back")
    for request, answer in zip(requests, answers, strict=True):
        ends = bool(answer.ids) and answer.ids[-1] in request.stops
        if len(answer.ids) != len(answer.logprobs) or not 0 < len(answer.ids) <= request.max_tokens:
            raise ValueError(
                f"vLLM: expected 1 to {request.max_tokens} tokens and a log-prob of each, got {len(answer.ids)} and "
                f"{len(answer.logprobs)}"
            )
        if not ends and len(answer.ids) < request.max_tokens:
            raise ValueError(
                f"vLLM: an answer stops after {len(answer.ids)} of {request.max_tokens} tokens with {answer.ids[-1]}, "
                "which ends none; the server has stops of its own, start it as docs/engines.md shows"
            )
        if request.reads_prompt and len(answer.prompt_logprobs) != len(request.ids) - 1:
            raise ValueError("vLLM: the log-probs of a prompt's tokens were asked for, and not all came back")
    return list(answers)
