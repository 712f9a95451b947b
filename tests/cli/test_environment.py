"""Terminals without Unicode, readers that leave, places that can't be written, and signals: a word, and an honest state."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward import artifacts, config
from trueward.models import run_paths, smollm2
from trueward.pipeline import workers
from trueward.signals import StoppedBySignal

Command = Callable[..., tuple[int, str, str]]
NAME = "run\x1b[31m\x9b2J[/x]:smile:"


def trueward(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "trueward", *arguments]
    return subprocess.run(command, capture_output=True, env={**os.environ, **environment}, check=False)


def test_a_hostile_name_of_a_run_is_printed_and_not_obeyed(command: Command, baseline: Path, tmp_path: Path) -> None:
    shutil.copytree(baseline, tmp_path / NAME)
    table = json.loads((tmp_path / NAME / "report.json").read_text())
    table["run"] = NAME
    (tmp_path / NAME / "report.json").write_text(json.dumps(table))
    for arguments in (
        ("report", NAME),
        ("doctor", NAME),
        ("verify", NAME),
        ("frontier", NAME),
        ("sample", NAME, "-p", NAME, "--compare", f"{NAME}/sft"),
        ("report", NAME + "nosuch"),
        ("evaluate", NAME, "--scorer", NAME),
        ("run", NAME),
        ("run", "tiny", "--set", f"policy.kind={NAME}"),
    ):
        _, out, err = command(*arguments)
        assert not {"\x1b", "\x9b"} & set(out + err), arguments
        assert "Traceback" not in err
    code, out, _ = command("report", NAME)
    assert code == 0
    assert "[/x]:smile:" in "".join(out.split())
    code, out, _ = command("report", NAME, "--json")
    assert json.loads(out)["run"] == NAME


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_terminals_without_unicode(baseline: Path, encoding: str) -> None:
    done = trueward("report", str(baseline), PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(encoding)
    assert "Inconclusive" in text or "SFT" in text
    done = trueward("report", str(baseline), "--json", PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout) == json.loads((baseline / "report.json").read_text())
    for arguments in (("recipes",), ("recipes", "tiny"), ("run", "--help"), ("run", "nosuch-β")):
        done = trueward(*arguments, PYTHONIOENCODING=encoding)
        done.stdout.decode(encoding)
        assert done.returncode == (2 if "nosuch-β" in arguments else 0), done.stderr
        assert b"Traceback" not in done.stderr
        assert b"codec" not in done.stderr


@pytest.mark.parametrize("closed", ["| head -n 1", "2>&1 | head -n 1", ">&-", "2>&-", ">&- 2>&-", "| true"])
def test_readers_that_leave(baseline: Path, tmp_path: Path, closed: str) -> None:
    script = (
        f'"{sys.executable}" -m trueward report "{baseline}" {closed}; echo "${{PIPESTATUS[0]}}" > "{tmp_path}/code"'
    )
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, check=False)
    assert (tmp_path / "code").read_text().strip() == "0"
    assert b"Traceback" not in done.stderr + done.stdout
    assert b"ignored" not in done.stderr


def test_a_run_whose_progress_nobody_reads_goes_on(tmp_path: Path, small: Callable[..., list[str]]) -> None:
    arguments = [a for a in small() if a != "--quiet"]
    script = f'"$0" -m trueward "$@" --until sft --out "{tmp_path}/run" 2>&1 | true; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["/bin/bash", "-c", script, sys.executable, *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "sft" / "manifest.json").is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_said_and_written_down(processes: Any, small: Callable[..., list[str]], number: int) -> None:
    out = processes.folder / f"signal-{int(number)}"
    processes.start(*small("policy.steps=2000", "evaluation.every=1000"), "--out", str(out))
    while not (out / "policy" / "metrics.jsonl").is_file():
        assert not processes.ended(), (processes.folder / "stderr").read_text()
        time.sleep(0.02)
    os.kill(processes.process, number)
    assert processes.finish() == 128 + number
    err = (processes.folder / "stderr").read_text()
    assert err.startswith("trueward: stopped")
    assert "the same command goes on from here" in err
    assert err.count("\n") == 1
    assert signal.Signals(number).name in err
    rows = {row["name"]: row["state"] for row in artifacts.read_json(out / "pipeline.json")}
    assert rows["policy"] == "stopped"
    assert "running" not in rows.values()
    assert not list(out.rglob("*.tmp"))


# Stands for a worker: its first job is done at once, the others never; ended, it says so.
FAKE_WORKER = """
import pathlib, sys
from trueward.signals import StoppedBySignal, stopped_by_signals
try:
    with stopped_by_signals():
        for number, job in enumerate(sys.stdin):
            if "first" not in job:
                __import__("time").sleep(60)
            print('{"wrong": ""}', flush=True)
except StoppedBySignal:
    pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "stopped").touch()
"""


def test_workers_are_stopped_with_their_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(workers, "WORKER", FAKE_WORKER)
    jobs = [workers.Job(config.read("tiny"), tmp_path, name) for name in ("first", "second", "third", "fourth")]

    def stop(job: workers.Job, wrong: str) -> None:
        time.sleep(1)  # the other workers are at theirs
        raise StoppedBySignal(signal.SIGTERM)

    started = time.monotonic()
    with pytest.raises(StoppedBySignal):
        workers.run_jobs(jobs, 2, stop)
    assert time.monotonic() - started < 30
    assert (tmp_path / "stopped").is_file()


def test_a_process_that_ignores_hangups_goes_on_ignoring_them() -> None:
    code = (
        "import os, signal; from trueward.signals import stopped_by_signals\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "with stopped_by_signals(): os.kill(os.getpid(), signal.SIGHUP); print('still here')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "still here\n"


def test_a_report_on_a_read_only_disk_is_printed(
    command: Command, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(artifacts, "write_text", refuse)
    code, out, err = command("report", str(baseline))
    assert code == 0
    assert "SFT" in out
    assert "report.html: Permission denied" in err


def test_what_cannot_be_written_is_named_by_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(PermissionError) as refused, artifacts.replacing(path) as temporary:
        raise PermissionError(13, "Permission denied", str(temporary))
    assert refused.value.filename == str(path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be somebody else")
def test_as_somebody_without_a_name_a_home_or_a_place_to_write(baseline: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in (tmp_path, *tmp_path.parents, baseline, *baseline.parents):
        if parent.owner() == "root" and parent.stat().st_mode & 0o777 == 0o700:
            pytest.skip(f"{parent} is closed to others")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trueward", *arguments],
            capture_output=True, text=True, user=54321, group=54321, extra_groups=[], cwd=tmp_path,
            env={"PYTHONPATH": os.environ.get("PYTHONPATH", "")}, check=False,
        )  # fmt: skip

    done = call("doctor", str(baseline))
    if "No module named" in done.stderr:
        pytest.skip("this Python is closed to others")
    assert done.returncode == 0, done.stderr
    for arguments in (("sample", "nosuch", "-p", "x"), ("run", "tiny", "--out", str(tmp_path / "x")), ("studio",)):
        done = call(*arguments)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("\n") == 1


def test_without_a_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    for name in ("HF_HOME", "HF_HUB_CACHE", "TRUEWARD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="there is no such run"):
        run_paths.model_path("nosuch")
    with pytest.raises(ValueError, match="no home directory; TRUEWARD_CACHE"):
        smollm2.cache()
    with pytest.raises(ValueError, match="there is no such home directory"):
        artifacts.expanded("~no-such-user/x")
