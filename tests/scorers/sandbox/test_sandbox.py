"""Attacks on the sandbox: whatever the code tries, the verdict is that of the tests, and nothing is left behind.

Each takes some tenths of a second: two jails are started for it.
"""

# ruff: noqa: E501 (a program stands on one line)

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trueward.scorers.sandbox import run
from trueward.scorers.sandbox.run import Limits, SandboxOutcome

REFUSAL = run.refusal()
pytestmark = pytest.mark.skipif(bool(REFUSAL), reason=f"no sandbox here: {REFUSAL}")

GOOD = "def double(x):\n    return x + x\n"
TESTS = ["assert double(2) == 4", "assert double('ab') == 'abab'"]
QUICK = Limits(cpu=1, wall=4.0)


def attack(code: str, tests: list[str] = TESTS, limits: Limits = QUICK) -> SandboxOutcome:
    return run.run(code, tests, limits=limits)


def seen(expression: str, imports: str = "") -> str:
    """What the jailed code finds, or the name of the error: told by a test that fails with it."""
    code = f"{imports}\ndef look():\n    try:\n        return repr({expression})\n    except BaseException as e:\n"
    code += "        return type(e).__name__ + ': ' + str(e)\n"
    return attack(code, ["raise ValueError(look())"]).note.removeprefix("test 1: ValueError: ")


def test_right_code_passes_and_wrong_code_fails() -> None:
    assert attack(GOOD) == SandboxOutcome((True, True))
    assert attack("def double(x):\n    return 2 * x if x == 2 else None\n").passed == (True, False)
    assert attack("def double(x):\n    return 4\n").note == "test 2: AssertionError"
    assert "SyntaxError" in attack("def double(x:\n").note
    assert attack("x = 1\n").passed == (False, False)


def test_values_objects_and_errors_go_through() -> None:
    code = (
        "from collections import Counter, namedtuple\nfrom fractions import Fraction\nP = namedtuple('P', 'x y')\n"
        "LIMIT = 7\n"
        "def same(v, *, times=1):\n    return v\n"
        "def count(s):\n    return Counter(s)\n"
        "def half(n):\n    return Fraction(n, 2)\n"
        "def point():\n    return P(1, 2)\n"
        "def bad():\n    raise KeyError('no')\n"
        "class Stack:\n    def __init__(self, start=()):\n        self.items = list(start)\n"
        "    def push(self, v):\n        self.items.append(v)\n        return self\n"
        "    def __len__(self):\n        return len(self.items)\n    def __contains__(self, v):\n        return v in self.items\n"
        "    def __iter__(self):\n        return iter(self.items)\n    def __getitem__(self, i):\n        return self.items[i]\n"
        "def size(stack):\n    return len(stack)\n"
    )
    tests = [
        "v = [1, (2, 'x'), {3: {4, 5}}, None, True, 1.5, b'\\x00', 2 + 1j, 10**30, frozenset('a'), float('inf')]\n"
        "assert same(v, times=2) == v and type(same(v)[1]) is tuple",
        "assert count('aab') == {'a': 2, 'b': 1} and half(3) * 2 == 3 and point() == (1, 2) and LIMIT == 7",
        "s = Stack([1]); s.push(2).push(3); assert len(s) == 3 and 2 in s and 9 not in s and list(s) == [1, 2, 3] and s[-1] == 3",
        "s = Stack(); s.items = [4, 5]; assert size(s) == 2 and s.items == [4, 5]",
        "try:\n    bad()\nexcept KeyError as e:\n    pass\nelse:\n    raise AssertionError",
        "import math\nassert math.isnan(same(float('nan')))",
    ]
    assert attack(code, tests) == SandboxOutcome((True,) * 6)


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.exit(0)\n" + GOOD,
        "import os\nos._exit(0)\n" + GOOD,
        "import os\ndef double(x):\n    os._exit(0)\n",
        "def double(x):\n    raise SystemExit(0)\n",
        "class Yes:\n    def __eq__(self, o): return True\n    def __bool__(self): return True\ndef double(x):\n    return Yes()\n",
        "class Yes(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\ndef double(x):\n    return Yes(5)\n",
        "class Yes(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\ndef double(x):\n    return Yes('q')\n",
        "import builtins\nbuiltins.AssertionError = None\nbuiltins.compile = builtins.exec = lambda *a, **k: None\ndef double(x):\n    return 5\n",
        "def double(x):\n    raise AssertionError\n",
        "def double(x):\n    return None\nall = any = len = isinstance = repr = lambda *a: True\n__builtins__ = {}\n",
        "import sys, threading\nsys.settrace(lambda *a: None)\nthreading.setprofile(lambda *a: None)\ndef double(x):\n    return None\n",
        "import gc, sys\nfor o in gc.get_objects():\n    if isinstance(o, dict):\n        o.pop('tests', None)\ndef double(x):\n    return 0\n",
    ],
)
def test_no_way_to_pass_without_being_right(code: str) -> None:
    tests = [*TESTS, "assert all(double(n) == 2 * n for n in range(3))", "assert double(3) != 7 and double(3) == 6"]
    assert attack(code, tests).passed == (False,) * 4


def test_a_report_of_its_own_is_not_believed() -> None:
    fake = b'{"token": "x", "passed": [true, true], "note": ""}'
    spray = f"import os\nraw = {fake!r}\nraw = len(raw).to_bytes(4, 'big') + raw\n"
    spray += "for fd in range(256):\n    try:\n        os.write(fd, raw)\n    except OSError:\n        pass\n"
    outcome = attack(f"{spray}print({fake.decode()!r}, flush=True)\nos._exit(0)\n")
    assert outcome.passed == (False, False)
    # Frames of its own on the right pipe are answers to calls, and answers are compared like any other.
    eager = "import os\ndef frame(s):\n    return len(s).to_bytes(4, 'big') + s\n"
    eager += "for fd in range(3, 64):\n    try:\n        os.write(fd, frame(b'{\"value\": true}') * 50)\n    except OSError:\n        pass\n"
    assert attack(eager + "def double(x):\n    return None\n").passed == (False, False)


def test_a_jail_that_never_reports_scores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is 0 in both cases; without the token there's no verdict, even if the tests passed."""
    monkeypatch.setattr(run.secrets, "compare_digest", lambda a, b: False)
    assert attack(GOOD).passed == (False, False)


def test_the_tests_can_not_be_read() -> None:
    marker = "xyzzy-the-key"
    code = (
        "import gc, os, select, sys\n"
        "def hunt():\n"
        "    seen = [repr(o) for o in gc.get_objects() if isinstance(o, (str, dict, list, tuple))]\n"
        "    frame, names = sys._getframe(), []\n"
        "    while frame:\n        seen.append(repr(frame.f_locals)); frame = frame.f_back\n"
        "    for fd in range(3, 64):\n"
        "        try:\n            if select.select([fd], [], [], 0)[0]:\n                seen.append(repr(os.read(fd, 9999)))\n"
        "        except OSError:\n            pass\n"
        "    for place in ('/proc/self/environ', '/proc/1/mem', '/proc/2/cmdline'):\n"
        "        try:\n            seen.append(open(place, 'rb').read())\n        except OSError:\n            pass\n"
        f"    key = {marker[::-1]!r}[::-1]\n    return sum(key in str(s) for s in seen), len(seen) > 99\n"
    )
    assert attack(code, [f"assert hunt() == (0, True), {marker!r}"], Limits()) == SandboxOutcome((True,))


def test_there_is_no_network() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    code = "import os\ndef call():\n    import _socket\n    s = _socket.socket()\n"
    code += f"    s.connect(('127.0.0.1', {port}))\n    return 'connected'\n"
    note = attack(code, ["raise ValueError(call())"]).note
    server.close()
    assert "connected" not in note
    assert "PermissionError" in note or "ModuleNotFoundError" in note or "ImportError" in note


def test_there_is_nothing_to_read_and_nowhere_to_write(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    assert "FileNotFoundError" in seen(f"open({str(secret)!r}).read()")
    assert "FileNotFoundError" in seen("open('/etc/passwd').read()")
    assert "FileNotFoundError" in seen("os.listdir('/proc')", "import os")
    assert "FileNotFoundError" in seen("os.listdir('/dev')", "import os")
    assert "Errno 30" in seen("open('/here', 'w')")
    assert "Errno" in seen(f"open({str(tmp_path / 'new')!r}, 'w')")
    assert "Errno" in seen("open(json.__file__, 'a')", "import json")
    assert seen("os.listdir('.')", "import os") == "[]"
    assert seen("open('a', 'w').write('x')") == "1"
    assert list(tmp_path.iterdir()) == [secret]
    assert "work" in seen("os.listdir('/')", "import os")


def test_nothing_of_the_environment_or_of_root_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    assert seen("dict(os.environ)", "import os") == "{}"
    assert seen("os.getuid()", "import os") == str(os.getuid() or 65534)
    assert "Errno" in seen("os.setuid(0)", "import os")
    assert "site-packages" not in seen("sys.path", "import sys")
    assert seen("sys.argv", "import sys") == "['']"


def test_no_new_process_and_few_threads() -> None:
    assert "PermissionError" in seen("os.fork()", "import os")
    assert "PermissionError" in seen("os.execv('/bin/sh', ['sh'])", "import os")
    assert "Error" in seen("subprocess.run(['/bin/true'])", "import subprocess")
    threads = "import threading, time\ndef many():\n    n = 0\n    try:\n        while n < 10000:\n"
    threads += "            threading.Thread(target=time.sleep, args=(9,), daemon=True).start(); n += 1\n"
    threads += "    except RuntimeError:\n        pass\n    return n\n"
    assert attack(threads, ["assert 0 < many() < 100"], Limits(cpu=2, wall=6.0)).passed == (True,)


@pytest.mark.parametrize(
    "code",
    [
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n",
        "x = [0]\nwhile True:\n    x = x + x\n",
        "x = bytearray(1 << 34)\n",
        "while True:\n    print('x' * 9999)\n",
        "import time\ntime.sleep(1000)\n",
        "import signal, time\nfor n in range(1, 65):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\ntime.sleep(1000)\n",
        "def f():\n    f()\nimport sys\nsys.setrecursionlimit(10**9)\nf()\n",
        "f = open('big', 'wb')\nwhile True:\n    f.write(b'x' * 65536)\n",
        "i = 0\nwhile True:\n    open(str(i), 'w').close()\n    i += 1\n",
        "import os\nwhile True:\n    os.write(os.dup(2), b'x' * 65536)\n",
    ],
    ids=[
        "fork bomb",
        "memory",
        "memory at once",
        "output",
        "sleep",
        "deaf",
        "recursion",
        "big file",
        "files",
        "descriptors",
    ],
)
def test_bombs_end_in_time(code: str) -> None:
    started = time.monotonic()
    assert attack(code + GOOD).passed == (False, False)
    assert time.monotonic() - started < 30  # the limit is 4; other work on the machine may take its share


def test_an_answer_that_is_too_large_is_none() -> None:
    assert attack("def double(x):\n    return 'x' * (1 << 22)\n", ["assert double(1)"]).passed == (False,)
    assert attack("def double(x):\n    return [[]] * 9999999\n", ["assert double(1)"]).passed == (False,)


def jails() -> set[int]:
    """Processes on this machine that are jails."""
    got = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"from sandbox import jail" in (entry / "cmdline").read_bytes():
                    got.add(int(entry.name))
            except OSError:
                continue
    return got


def test_nothing_outlives_its_parent() -> None:
    before = jails()
    program = "from trueward.scorers.sandbox import run\n"
    program += "run.run('import time\\ntime.sleep(1000)', ['pass'], limits=run.Limits(cpu=100, wall=1000.0))\n"
    harness = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    deadline = time.monotonic() + 60
    while len(jails() - before) < 6 and time.monotonic() < deadline:  # two jails of three processes each
        time.sleep(0.05)
    assert len(jails() - before) >= 6
    os.kill(harness.pid, signal.SIGKILL)
    harness.wait()
    while jails() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert jails() - before == set()


def test_it_refuses_to_run_unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    from trueward.scorers.verifiers import catalogue

    monkeypatch.setattr(run, "refusal", lambda: "no namespaces")
    with pytest.raises(ValueError, match=r"there is none to be had here .no namespaces.*set unconfined = 'I accept"):
        catalogue.make("code", {}, "reward.options")
    with pytest.raises(ValueError, match="expected the sentence"):
        catalogue.make("code", {"unconfined": "yes"}, "reward.options")
    verifier = catalogue.make("code", {"unconfined": run.ACCEPT}, "reward.options")
    key = '{"tests": ["assert double(2) == 4"]}'
    assert verifier.judge("def double(x):\n    return 4", key).score == 1.0
