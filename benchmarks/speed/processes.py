"""A measured program in a process of its own: called, waited for, read. A failure is an answer too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from speed import peers

HERE = Path(__file__).parent


def end_with_children() -> None:
    """Being asked to end is like an interrupt: the program that runs at the time ends too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class FailedError(Exception):
    """Why a program measured nothing, in one line."""


def environment(threads: int, where: str = "") -> dict[str, str]:
    """The same for both sides: so many threads, no network, no reports. vLLM gets the threads' library that it asks for."""
    library = peers.HOME / where / "lib" / "libiomp5.so"
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        **({"LD_PRELOAD": str(library)} if where == "vllm" and library.is_file() else {}),
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else it takes one core of two
    }


def measure(module: str, job: dict[str, Any], where: str = "", limit: float = 3600.0) -> dict[str, Any]:
    """Runs `speed.module` with the job and gives what it measured. `where`: a peer's environment; empty: this one.

    Raises `FailedError` with the program's last word.
    """
    python = str(peers.python(where)) if where else sys.executable
    with TemporaryDirectory() as scratch:
        told, out, said = Path(scratch, "job.json"), Path(scratch, "out.json"), Path(scratch, "said.txt")
        told.write_text(json.dumps({**job, "out": str(out), "scratch": scratch}), encoding="utf-8")
        with said.open("w", encoding="utf-8") as file:
            running = subprocess.Popen(  # noqa: S603
                [python, "-m", f"speed.{module}", str(told)],
                stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True, cwd=scratch,
                env=environment(job["threads"], where),
            )  # fmt: skip
            try:
                running.wait(limit)
            except subprocess.TimeoutExpired:
                raise FailedError(f"took more than {limit:.0f} s") from None
            finally:
                if running.poll() is None:
                    os.killpg(running.pid, signal.SIGKILL)
                    running.wait()
        text = said.read_text(encoding="utf-8", errors="replace")
        if os.environ.get("SPEED_SAY"):
            print(text, file=sys.stderr)
        if running.returncode or not out.is_file():
            raise FailedError(peers.reason(text) or f"ended with {running.returncode}")
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found
