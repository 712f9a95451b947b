"""A disk that is full: one line, nothing that looks finished, and the same command goes on once there is room."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# No file may grow larger than so many bytes: what can't be written then, in the order of the stages.
LIMITS = {
    300: "the recipe",
    3_000: "the text",
    100_000: "the text, further on",
    300_000: "a checkpoint's weights",
    600_000: "a checkpoint's optimiser",
}


@pytest.mark.parametrize("limit", LIMITS)
def test_full_disk(
    processes: Any,
    small: Callable[..., list[str]],
    tmp_path: Path,
    baseline: Path,
    made_by: Callable[[Path], dict[str, Any]],
    limit: int,
) -> None:
    run = tmp_path / "run"
    command = [*small(), "--out", str(run)]
    code, err = processes.run(*command, largest_file=limit)
    assert code == 2, err
    assert err.startswith("trueward: "), err
    assert err.count("\n") == 1, err
    assert "File too large" in err
    assert str(run) in err, "the line names the file"
    if (run / "pipeline.json").exists():
        rows = json.loads((run / "pipeline.json").read_text())
        assert [r["name"] for r in rows if (run / r["name"] / "manifest.json").exists() != (r["state"] == "done")] == []
        assert rows[-1]["state"] != "done"
    assert processes.run(*command) == (0, "")
    one, two = made_by(run), made_by(baseline)
    assert [name for name in two if one.get(name) != two[name]] == []
