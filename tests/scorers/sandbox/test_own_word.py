"""How jailed code ends, and what it writes, is data: never the sandbox's own word about itself."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from trueward.scorers.sandbox import run, status, wire
from trueward.scorers.sandbox.run import Limits, SandboxOutcome

REFUSAL = run.refusal()
pytestmark = pytest.mark.skipif(bool(REFUSAL), reason=f"no sandbox here: {REFUSAL}")

GOOD = "def double(x):\n    return x + x\n"
TEST = ["assert double(2) == 4"]
FORGED = (
    b'{"ready": false, "late": false, "refused": "forged", "errno": 11}\n{"refused": "forged"}\n',
    b'\x00\x00\x00\x2e{"token": "", "passed": [true], "note": "forged"}',
    b'\x00\x00\x00\x07"begin"\x00\x00\x00\x1c{"names": {}, "error": "forged"}' + b'\x00\x00\x00\x0f{"value": true}' * 9,
    b"there is no sandbox on this machine\n" * 99,
)


QUICK = Limits(cpu=1, wall=6.0)


def outcomes(codes: Sequence[str], limits: Limits = QUICK) -> list[SandboxOutcome]:
    """Several answers at once, as the verifier runs them."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda code: run.run(code, TEST, limits=limits), codes))


def alone(code: str) -> tuple[status.Status, bool]:
    """The first word of an answer's jail without an examiner's beside it, and whether the answer ended without a word."""
    solution_in, begin, frames, solution_out = (*os.pipe(), *os.pipe())
    config = {"limits": vars(QUICK), "confined": True, "role": "solution", "code": code}
    jail = run._Jail({**config, "pipes": [solution_in, solution_out]})
    try:
        os.close(solution_in)
        os.close(solution_out)
        wire.send(begin, "begin")
        silent = os.read(frames, 1) == b""
        return jail.heard(time.monotonic() + 6), silent
    finally:
        jail.end()
        os.close(begin)
        os.close(frames)


@pytest.mark.parametrize("quarter", range(4))
def test_every_exit_status_is_the_answers_own(quarter: int) -> None:
    codes = [f"import os\nos._exit({n})\n" for n in range(64 * quarter, 64 * quarter + 64)]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(alone, codes)) == {(status.Status(ready=True), True)}


def test_an_exit_status_is_no_verdict() -> None:
    codes = [f"import os\ndef double(x):\n    os._exit({n})\n" for n in (0, 1, 2, 77, 126, 127, 128, 137, 139, 255)]
    assert outcomes(codes) == [SandboxOutcome((False,), "test 1: Failed: the code ended")] * len(codes)


STOPS = (19, 20, 21, 22)  # nothing goes on after them before the time is up


def test_every_signal_is_the_answers_own() -> None:
    codes = {n: f"import os\nos.kill(os.getpid(), {n})\n{GOOD}" for n in range(1, 65) if n not in STOPS}
    ended = dict(zip(codes, outcomes(list(codes.values())), strict=True))
    fatal, ignored = (
        (1, 2, 3, 4, 6, 8, 9, 11, 14, 15, 24, 31),
        (17, 18, 23, 28),
    )  # by a process that doesn't ask for them
    assert {n: ended[n] for n in fatal if ended[n].passed != (False,)} == {}
    assert {n: ended[n] for n in ignored if ended[n].passed != (True,)} == {}
    whom = [f"import os\nos.kill({whom}, {n})\n{GOOD}" for whom in (0, 1, -1) for n in (9, 15, 31)]
    assert {outcome.passed for outcome in outcomes(whom)} <= {(True,), (False,)}


def test_an_answer_that_stops_itself_is_out_of_time() -> None:
    codes = [f"import os\nos.kill({whom}, {n})\nos._exit(77)\n" for n in STOPS for whom in ("os.getpid()", 0)]
    assert {outcome.passed for outcome in outcomes(codes, Limits(cpu=1, wall=1.5))} == {(False,)}


@pytest.mark.parametrize(
    "at",
    [
        "os.closerange(0, 4096)",
        "[os.dup2(a, b) for a in FDS for b in range(64) if b != a]",
        "[os.dup2(FDS[0], b) for b in range(64)]",
        "[os.dup2(FDS[-1], b) for b in range(64)]",
        "[os.set_inheritable(a, True) for a in FDS]",
        "[os.set_blocking(a, False) for a in FDS]",
        "[os.dup(FDS[-1]) for _ in range(999)]",
    ],
    ids=["closed", "each on each", "the first on all", "the last on all", "inherited", "not blocking", "used up"],
)
@pytest.mark.parametrize("first", range(2))
def test_no_line_of_its_own_is_believed(at: str, first: int) -> None:
    lines = FORGED[first] + b"".join(FORGED)
    code = (
        "import os\nFDS = []\nfor fd in range(256):\n    try:\n        os.fstat(fd)\n        FDS.append(fd)\n"
        f"    except OSError:\n        pass\ntry:\n    {at}\nexcept OSError:\n    pass\n"
        f"for fd in range(256):\n    try:\n        os.set_blocking(fd, False)\n        os.write(fd, {lines!r})\n"
        "    except OSError:\n        pass\nos._exit(77)\n"
    )
    assert outcomes([code])[0].passed == (False,)


def test_a_flood_is_not_believed() -> None:
    codes = [
        f"import os\nraw = {forged!r} * 99\nfor fd in range(64):\n    try:\n        os.set_blocking(fd, False)\n"
        "        for _ in range(9999):\n            os.write(fd, raw)\n    except OSError:\n        pass\nos._exit(77)\n"
        for forged in FORGED
    ]
    assert {outcome.passed for outcome in outcomes(codes)} == {(False,)}


def test_an_answer_may_close_what_it_does_not_need() -> None:
    assert outcomes([f"import os\nos.closerange(0, 3)\nprint('x')\n{GOOD}"])[0] == SandboxOutcome((True,))


def test_the_pipe_of_the_first_word_is_gone_before_the_code_runs() -> None:
    """Two pipes and /dev/null are all that an answer has."""
    code = "import os, stat\ndef count():\n    fds = []\n    for fd in range(256):\n        try:\n"
    code += "            fds.append(stat.S_IFMT(os.fstat(fd).st_mode))\n        except OSError:\n            pass\n"
    code += "    return [fds.count(stat.S_IFIFO), len(fds) - fds.count(stat.S_IFIFO) - fds.count(stat.S_IFCHR)]\n"
    assert run.run(code, ["assert count() == [2, 0]"]).passed == (True,)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(Limits(file_kb=-1), "mount /.*/work: Invalid argument"), (Limits(memory_mb=1 << 70), "int too large")],
    ids=["process 1", "the worker"],
)
def test_a_jail_that_can_not_be_made_says_why(limits: Limits, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"no sandbox on this machine for code that a model wrote: .*{reason}"):
        run.run(GOOD, TEST, limits=limits)


def test_a_jail_that_ends_at_once_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WAITS", (0.0, 0.0))
    for end in ("os._exit(0)", "os._exit(77)", "os.kill(os.getpid(), 9)", "raise ValueError"):
        monkeypatch.setattr(run, "START", f"import os\n{end}")
        with pytest.raises(ValueError, match="wrote: it ended before it was ready"):
            run.run(GOOD, TEST)


@pytest.mark.parametrize(("number", "tries"), [(errno.EAGAIN, 3), (errno.ENOSPC, 3), (errno.EPERM, 1), (0, 1)])
def test_a_machine_that_is_busy_is_tried_again(number: int, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another answer's threads may leave no room for a jail: that isn't the end of a run."""
    heard: list[status.Status] = []

    def read(pipe: int, deadline: float) -> status.Status:
        heard.append(status.Status(refused="full", errno=number))
        return heard[-1]

    monkeypatch.setattr(run, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(run.status, "read", read)
    with pytest.raises(ValueError, match="wrote: full"):
        run.run(GOOD, TEST)
    assert len(heard) == tries


def test_no_time_to_start_is_no_verdict() -> None:
    assert run.run(GOOD, TEST, limits=Limits(wall=0.0)).note == run.NO_VERDICT


def unconfined(code: str) -> SandboxOutcome:
    return run.run(code, TEST, limits=QUICK, confined=False)


@pytest.mark.parametrize("judge", [unconfined, lambda code: run.run(code, TEST)], ids=["unconfined", "confined"])
def test_with_and_without_a_sandbox(judge: Callable[[str], SandboxOutcome]) -> None:
    assert judge(GOOD).passed == (True,)
    assert judge("import os\nos._exit(77)\n").passed == (False,)


def test_a_verifier_goes_on_after_such_an_answer() -> None:
    from trueward.scorers.verifiers import catalogue

    verifier = catalogue.make("code", {}, "reward.options")
    key = '{"tests": ["assert double(2) == 4"]}'
    assert verifier.judge("import os\nos._exit(77)", key).score == 0.0
    assert verifier.judge(GOOD, key).score == 1.0
