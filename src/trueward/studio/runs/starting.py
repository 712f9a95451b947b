"""Starting a shipped recipe on a project's closed rounds: one run at a time, a process of its own that outlives the studio.

What it was started as is in a file, so that a studio that is started again finds it and can end it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueward import artifacts, config
from trueward.data import snapshots

FOLDER, STATE = "started", "started.json"  # in the studio's directory: logs, and what was started last
NAME = re.compile(r"[^\W_][\w.-]{0,63}")
SETTINGS = {"compare": "comparisons.source", "rank": "comparisons.source", "write": "data.demonstrations"}
LAST_BYTES = 20_000  # of the log


class NotStartedError(ValueError):
    """Nothing was started; why, in one line."""


@dataclass
class RunStarter:
    """home: where runs are. data: the studio's directory."""

    home: Path
    data: Path
    process: subprocess.Popen[bytes] | None = None
    turn: threading.Lock = field(default_factory=threading.Lock)

    def start(self, project: str, kind: str, recipe: str, run: str, by: str) -> dict[str, Any]:
        """Start a shipped recipe on all closed rounds of a project; `now`. `NotStartedError` in one line."""
        with self.turn:
            if recipe not in recipes(kind):
                raise NotStartedError(f"recipe: expected one of {', '.join(recipes(kind))}, got {recipe[:80]!r}")
            if not NAME.fullmatch(run):
                raise NotStartedError(f"run: expected letters, digits and . - _, at most 64, got {run[:80]!r}")
            if (self.home / run).exists():
                raise NotStartedError(f"run: there is something called {run} among the runs already")
            known = self._known()
            if known and self._lives(known):
                raise NotStartedError(f"{known['run']} is running: one at a time")
            setting = f"{SETTINGS[kind]}=studio:{project}"
            try:
                snapshots.snapshots(f"studio:{project}", self.data)
                config.read(recipe, [setting])
            except ValueError as error:
                raise NotStartedError(str(error)) from None
            command = [sys.executable, "-m", "trueward", "run", recipe, "--out", str(self.home / run), "--set", setting]
            self._spawn(command, {"run": run, "recipe": recipe, "project": project, "by": by})
        return self.now() or {}

    def now(self) -> dict[str, Any] | None:
        """What was started last: run, recipe, project, who and when, whether it `lives`, its exit `code` and its log's end.

        None if nothing was; a code of None: it lives, or ended while no studio was there to see it.
        """
        known = self._known()
        if known is None:
            return None
        lives = self._lives(known)
        code = self.process.poll() if self.process is not None and self.process.pid == known["pid"] else None
        shown = {key: known[key] for key in ("run", "recipe", "project", "by", "at")}
        return {**shown, "lives": lives, "code": code, "log": self._log_end(known["run"])}

    def stop(self) -> bool:
        """End the run that goes on, as Ctrl-C does: its files say so, and its command goes on from there. False: none does."""
        with self.turn:
            known = self._known()
            if known is None or not self._lives(known):
                return False
            with contextlib.suppress(ProcessLookupError):
                os.kill(known["pid"], signal.SIGTERM)
            return True

    def _spawn(self, command: list[str], about: dict[str, Any]) -> None:
        folder = self.data / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "TRUEWARD_STUDIO": str(self.data.resolve()), "NO_COLOR": "1"}
        try:
            with (folder / f"{about['run']}.log").open("wb") as log:
                # a session of its own: neither Ctrl-C nor the end of the studio's terminal reaches it
                self.process = subprocess.Popen(  # noqa: S603  # a list, of which a request chose two checked names
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment,
                    start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise NotStartedError(f"{about['run']}: {error.strerror or error}") from None
        known = {"format": 1, **about, "at": time.time(), "pid": self.process.pid, "born": _born(self.process.pid)}
        artifacts.write_json(self.data / STATE, known)

    def _known(self) -> dict[str, Any] | None:
        path = self.data / STATE
        try:
            known = artifacts.read_json(path) if path.is_file() else None
        except ValueError:
            return None
        if not isinstance(known, dict) or not {"run", "recipe", "project", "by", "at", "pid", "born"} <= known.keys():
            return None
        return known if NAME.fullmatch(str(known["run"])) and isinstance(known["pid"], int) else None

    def _lives(self, known: dict[str, Any]) -> bool:
        """Whether the process is still the one that was started: another one may have its number by now."""
        if self.process is not None and self.process.pid == known["pid"]:
            return self.process.poll() is None
        return known["born"] is not None and _born(known["pid"]) == known["born"]

    def _log_end(self, run: str) -> str:
        try:
            with (self.data / FOLDER / f"{run}.log").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_BYTES))
                return log.read().decode(errors="replace").replace("\0", "\ufffd")
        except OSError:
            return ""


@functools.cache
def recipes(kind: str) -> list[str]:
    """The shipped recipes that learn from what people said in a project of this kind."""
    learns = kind == "write" or "reward_model"
    return [name for name in config.shipped() if learns is True or config.read(name).reward.kind == learns]


def _born(pid: int) -> str | None:
    """When a process was started, in the kernel's count; None if there is none, or the system doesn't say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # its name, in brackets, may have spaces
    return None if fields[0] in ("Z", "X") else fields[19]
