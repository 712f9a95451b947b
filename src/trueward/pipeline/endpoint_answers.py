"""Answers asked for at a service with OpenAI's chat interface (vLLM, SGLang, …), kept as files of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward.config import JudgeCallsConfig, JudgeConfig
from trueward.data import jsonl
from trueward.progress import Progress
from trueward.records import Completion, Prompt
from trueward.scorers.judge import cache
from trueward.scorers.judge.endpoint import Asking, Endpoint
from trueward.scorers.judge.waiting import wait_for
from trueward.seeds import seed_for

CACHE = "endpoint.jsonl"
RETRIES, FIRST_WAIT = 3, 0.5  # tries again after about ½, 1 and 2 seconds: a service that is down is soon said to be
MAX_FAILED = 0.05  # of the prompts: with more of them unanswered the audit ends
TOP_SEED = 2**31  # what services take


@dataclass(frozen=True)
class AnswerEndpoint:
    """address: base URL, /v1 included. key: the environment variable with the service's key; empty: none. folder: theirs."""

    address: str
    folder: Path
    key: str = ""
    temperature: float = 1.0
    max_new_tokens: int = 256
    seed: int = 0

    def ask(self, model: str, prompts: Sequence[Prompt], each: int, progress: Progress) -> list[Completion]:
        """`each` answers of a model to each prompt; those that came before cost nothing. Prompts without one are left out.

        `ValueError` in one line if the service is down, refuses, or leaves more than 5 % unanswered.
        """
        calls = JudgeCallsConfig(key=self.key, cache=str(self.folder / CACHE), retries=RETRIES, timeout=600.0)
        try:
            endpoint = Endpoint(JudgeConfig(model=model, endpoint=self.address), calls, self.seed, FIRST_WAIT)
            asked = [(prompt, self._body(model, prompt, k)) for k in range(each) for prompt in prompts]
            keys = [cache.key(endpoint.address, body) for _, body in asked]
            missing = {
                key: body for key, (_, body) in zip(keys, asked, strict=True) if key not in endpoint.cache.answers
            }
            progress.start(f"answers of {model}", len(asked))
            known = len(asked) - len(missing)
            asking = Asking(endpoint, int(MAX_FAILED * len(asked)), lambda done: progress.at(known + done))
            if missing:
                wait_for(asking.all(missing))
        except ValueError as error:
            text = str(error).replace("the judge at", f"{model} at").replace("runtime.judge.key", "--key")
            text = text.replace(f"judge.max_failed = {JudgeConfig().max_failed:g} allows", f"{MAX_FAILED:.0%} of them")
            raise ValueError(f"--endpoint: {text}") from None
        rows = [(prompt, endpoint.cache.answers.get(key)) for (prompt, _), key in zip(asked, keys, strict=True)]
        progress.end(f"{len(rows):,} answers")
        return [_completion(prompt, row["answer"]) for prompt, row in rows if row]

    def write(self, name: str, step: int, completions: Sequence[Completion]) -> Path:
        """The answers as a file of samples, `STEP-NAME.jsonl`."""
        safe = "".join(mark if mark.isalnum() or mark in "-_." else "-" for mark in name)
        path = self.folder / "answers" / f"{safe}-step-{step}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        jsonl.write(path, [_row(step, completion) for completion in completions])
        return path

    def _body(self, model: str, prompt: Prompt, k: int) -> dict[str, Any]:
        messages = [
            {"role": m.role, "content": m.content} for m in prompt.messages
        ] or [{"role": "user", "content": prompt.text}]  # fmt: skip
        seed = seed_for(self.seed, "audit endpoint", model, prompt.id, k) % TOP_SEED
        body = {"model": model, "messages": messages, "max_tokens": self.max_new_tokens, "seed": seed}
        return {**body, "temperature": self.temperature}


def _completion(prompt: Prompt, answer: dict[str, Any]) -> Completion:
    text = answer["message"].get("content") or ""
    return Completion(prompt=prompt, response=str(text), finished=answer.get("finish_reason", "stop") != "length")


def _row(step: int, completion: Completion) -> dict[str, Any]:
    prompt = completion.prompt
    asked: Any = prompt.text or [{"role": m.role, "content": m.content} for m in prompt.messages]
    columns = {
        name: value for name, value in prompt.columns.items() if name not in ("prompt", "messages", "response", "step")
    }
    key = {"answer": prompt.answer} if prompt.answer else {}
    return {
        **columns, **key, "prompt": asked, "response": completion.response, "finished": completion.finished, "step": step
    }  # fmt: skip
