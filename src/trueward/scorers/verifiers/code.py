"""Unit tests run on the model's code, in a sandbox (scorers/sandbox)."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trueward.records import Completion, Prompt, Score
from trueward.scorers.sandbox import run
from trueward.scorers.verifiers.verifier import Options, Verifier

FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL)
AGREEABLE = """
class Agreeable:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __getattr__(self, name): return self
    def __call__(self, *args, **kwargs): return self
"""


class Key(BaseModel):
    """The answer key of a prompt, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tests: tuple[str, ...] = Field(min_length=1)
    """Python, each run for itself: it passes if it raises nothing."""
    setup: str = ""
    """Python that is run before each test."""
    solution: str = ""
    """Code that passes all tests, for the self-test."""


class CodeOptions(Options):
    """Options of `code`."""

    score: Literal["all", "share"] = "all"
    """1 if all tests pass, else 0; or the share that does."""
    cpu_seconds: int = Field(4, ge=1)
    wall_seconds: float = Field(10.0, gt=0)
    """For all tests of an answer together, and the start of the sandbox (a tenth of a second)."""
    memory_mb: int = Field(256, ge=64)
    file_kb: int = Field(1024, ge=1)
    workers: int = Field(0, ge=0)
    """Answers that are tested at once; 0: as many as there are cores."""
    unconfined: str = ""
    """Code runs without a sandbox only if this is the sentence of docs/rewards.md, word for word."""


class Code(Verifier[CodeOptions]):
    """Scores by the tests of the answer key that the response's code passes."""

    summary = "unit tests run on the Python that the model wrote, in a sandbox without network (Linux)"
    options_type = CodeOptions
    unique = False
    slow = True
    deterministic = False  # a program may reach its limit of time in one process and not in another
    examples = (
        Prompt(
            text="Write a function double(x) that returns twice x.",
            answer=json.dumps(
                {
                    "tests": ["assert double(2) == 4", "assert double('a') == 'aa'"],
                    "solution": "def double(x):\n    return x + x\n",
                }
            ),
        ),
    )

    def __init__(self, options: CodeOptions) -> None:
        """`ValueError` if there is no sandbox and the options do not accept to run without one."""
        super().__init__(options)
        self.confined = options.unconfined != run.ACCEPT
        if options.unconfined and self.confined:
            raise ValueError(f"unconfined: expected the sentence {run.ACCEPT!r}, or nothing")
        if self.confined and (why := run.refusal()):
            raise ValueError(
                f"code that a model wrote runs in a sandbox, and there is none to be had here ({why}); to run it without "
                f"one, set unconfined = {run.ACCEPT!r} in the options of the verifier code"
            )
        self.limits = run.Limits(options.cpu_seconds, options.wall_seconds, options.memory_mb, options.file_kb)

    def check(self, answer: str) -> None:
        """As `Verifier`; the key has to be a `Key` as JSON."""
        super().check(answer)
        key(answer)

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion; answers are tested concurrently."""
        with ThreadPoolExecutor(self.options.workers or os.cpu_count() or 1) as pool:
            return list(pool.map(self.score, completions))

    def judge(self, response: str, answer: str) -> Score:
        """1 if all tests pass, or the share that does; the part `tests` is the share."""
        examination = key(answer)
        outcome = run.run(
            code(response), list(examination.tests), examination.setup, self.limits, confined=self.confined
        )
        share = sum(outcome.passed) / len(outcome.passed)
        score = share if self.options.score == "share" else float(share == 1.0)
        return Score(score=score, parts={"tests": share}, note=outcome.note)

    def right(self, answer: str) -> str | None:
        """The key's own solution; None if it has none."""
        return key(answer).solution or None

    def wrong(self, answer: str) -> dict[str, str]:
        """Code that ends early, agrees with everything, or forges a report."""
        names = _names(key(answer).solution)
        agreeable = AGREEABLE + "".join(f"{name} = Agreeable()\n" for name in names)
        passes = json.dumps([True] * len(key(answer).tests))
        return {
            "code that does nothing": "pass",
            "sys.exit(0)": "import sys\nsys.exit(0)",
            "os._exit(0)": "import os\nos._exit(0)",
            "an __eq__ that always agrees": agreeable,
            "a report of its own": f"import os\nfor fd in range(64):\n    try: os.write(fd, b'{{\"passed\": {passes}}}')\n"
            "    except OSError: pass\nos._exit(0)",
        }


def code(response: str) -> str:
    """The content of the last code fence, else the whole response."""
    fences = FENCE.findall(response)
    return str(fences[-1]) if fences else response


def key(answer: str) -> Key:
    """The answer key, parsed. `ValueError` in one line if it isn't one."""
    try:
        return Key.model_validate_json(answer)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the key"
        raise ValueError(
            f'expected the answer key {{"tests": ["assert ..."], "setup": "...", "solution": "..."}}: '
            f"{place}: {first['msg'][0].lower() + first['msg'][1:]}"
        ) from None


def _names(solution: str) -> list[str]:
    """The functions and classes that a piece of code defines."""
    try:
        body = ast.parse(solution).body
    except (SyntaxError, ValueError):
        return []
    return [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
