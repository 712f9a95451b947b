"""Importing any room but those that compute loads no torch, so that the command line answers at once.

One fresh process a room imports all its modules, and says after which one torch or transformers was there.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

# Room -> its modules that compute, and are imported only where something is computed.
ROOMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("artifacts", "cli", "config", "data", "lab", "progress", "records", "reporting", "seeds", "studio"), ()
    ),
    "tracking": ("tensorboard", "wandb", "trackio", "beats"),  # services that somebody asked for; marks in loops
    "evaluation": (
        *(
            "baseline",
            "evaluator",
            "outliers",
            "reward_report",
            "token_figures",
            "token_strip",
            "truth",
            "truth_values",
            "verdict_monitor",
        ),
        *("reward_test.audit", "reward_test.audited", "reward_test.stability"),
    ),
    "parallel": ("fabric", "joining"),
    "scorers.judge": ("local",),
    "scorers.sandbox": (),
    "scorers.verifiers": (),
}
HEAVY = ("torch", "transformers")
SCRIPT = """
import importlib, pkgutil, sys
room, heavy, left_out = f"trueward.{sys.argv[1]}", sys.argv[2].split(), sys.argv[3].split()
package = importlib.import_module(room)
names = [m.name for m in pkgutil.walk_packages(getattr(package, "__path__", []), f"{room}.")]
for name in [room, *names]:
    if name.removeprefix(f"{room}.") not in left_out and ".migrations." not in name:  # those run inside alembic
        importlib.import_module(name)
        if loaded := [h for h in heavy if h in sys.modules]:
            sys.exit(f"{name} loads {' and '.join(loaded)}")
print(len(names))
"""


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_imported_without_torch(room: str) -> None:
    command = [sys.executable, "-c", SCRIPT, room, " ".join(HEAVY), " ".join(ROOMS[room])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


LAUNCHERS = (
    "torch.distributed.elastic",
    "torch.distributed.launcher",
    "torch.distributed.fsdp",
    "torch.distributed.run",
)


def test_one_process_pays_for_no_others() -> None:
    """What is imported for several processes loads none of torch's launchers, and no process group is there."""
    script = (
        "import sys, torch.distributed; before = set(sys.modules); import trueward.parallel.joining; "
        f"print([m for m in set(sys.modules) - before if m.startswith({LAUNCHERS!r})], torch.distributed.is_initialized())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[] False\n", done.stderr
