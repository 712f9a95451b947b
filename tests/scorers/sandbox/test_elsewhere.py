"""The jail as somebody else and inside other walls: it holds, or it is refused with a reason; code never runs without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from trueward.scorers.sandbox.run import refusal

pytestmark = pytest.mark.skipif(bool(refusal()), reason=f"no sandbox here: {refusal()}")
PROBE = """
import sys
from trueward.scorers.sandbox.run import run
code = '''
def outside():
    import os, socket
    seen = []
    for path in ("/etc/passwd", "/proc/1/environ", "/home", "/sys/class/net"):
        try:
            os.listdir(path) if path in ("/home", "/sys/class/net") else open(path).read()
            seen.append(path)
        except OSError:
            pass
    try:
        socket.create_connection(("127.0.0.1", 9), 1)
    except OSError:
        pass
    else:
        seen.append("network")
    return seen
'''
try:
    outcome = run(code, ["assert outside() == [], outside()"])
except ValueError as error:
    assert "no sandbox" in str(error)
    print("refused")
else:
    print("holds" if outcome.passed == (True,) else f"open: {outcome.note}")
"""
ELSEWHERE = {
    "another user": ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"],
    "no new privileges": ["setpriv", "--no-new-privs", "--reuid=54321", "--regid=54321", "--clear-groups"],
    "root without capabilities": ["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
    "another user namespace": ["unshare", "--user", "--map-root-user"],
    "no more namespaces": ["unshare", "--user", "--map-root-user", "sh", "-c",
                           'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh"],
}  # fmt: skip


TOOLS = all(shutil.which(tool) for tool in ("setpriv", "unshare"))


@pytest.mark.skipif(os.geteuid() != 0 or not TOOLS, reason="needs root and util-linux")
@pytest.mark.parametrize("walls", ELSEWHERE)
def test_it_holds_or_is_refused(walls: str) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(
        [*ELSEWHERE[walls], sys.executable, "-c", PROBE],
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        check=False,
    )
    if "No module named" in done.stderr or "Permission denied" in done.stderr or "unshare failed" in done.stderr:
        pytest.skip(f"can't be tried here: {done.stderr.splitlines()[-1]}")
    assert done.stdout.strip() in ("holds", "refused"), done.stdout + done.stderr
    if walls in ("another user", "no new privileges"):
        assert done.stdout.strip() == "holds"
