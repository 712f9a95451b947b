"""The peers in environments of their own, installed once: `.venv-peers/NAME`, from the pinned versions beside this file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HOME = ROOT / ".venv-peers"
ENVIRONMENTS = ("trl", "trl-ppo", "vllm")
UNWANTED = {"vllm": ("torchvision", "torchaudio", "torchcodec")}
"""What comes along, is made for GPUs, and fails where it is imported; text needs none of it."""


def python(name: str) -> Path:
    return HOME / name / "bin" / "python"


def install(name: str) -> str:
    """Makes the environment if it isn't there; empty, or in one line why it can't be had."""
    pins = HERE / f"{name}.txt"
    done = HOME / name / "installed"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return ""
    print(f"installing {name} into {HOME / name} ({pins.name}) ...", file=sys.stderr, flush=True)
    if not python(name).exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME / name)], check=True)  # noqa: S603
    pip = [str(python(name)), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r", str(pins)]
    out = subprocess.run(pip, capture_output=True, text=True)  # noqa: S603
    if out.returncode:
        return reason(out.stderr) or "pip failed"
    if name in UNWANTED:
        subprocess.run([*pip[:4], "uninstall", "--yes", *UNWANTED[name]], check=True, capture_output=True)  # noqa: S603
    done.write_text(wanted, encoding="utf-8")
    return ""


def reason(text: str) -> str:
    """The line of a failed program's output that says why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if line.startswith("ERROR:") or line.split(":")[0].endswith(("Error", "Exception"))]
    return (named or lines or [""])[-1][:300]
