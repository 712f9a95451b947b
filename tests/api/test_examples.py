"""Every example runs from an empty folder, and shows what it says that it shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import trueward

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWS = {
    "ten_lines.py": ("preferred", "KL of"),
    "own_reward.py": ("β = 0.0:", "β = 0.5:"),
    "from_files.py": ("held-out comparisons", "response"),
    "sweep.py": ("policy.kl_coef", "best:", "Checked:"),
}


def environment() -> dict[str, str]:
    source = str(Path(trueward.__file__).parents[1])
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def test_all_are_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {*SHOWS, "quickstart.ipynb"}


@pytest.mark.parametrize("name", SHOWS)
def test_a_script(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [text for text in SHOWS[name] if text not in done.stdout] == [], done.stdout


@pytest.mark.learned
def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reward climbs in both runs; what was meant ends lower without the anchor than with it, whatever the processor."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    last = "print(json.dumps([p.evaluations[['truth', 'proxy']].iloc[-1].tolist() for p in runs.values()]))"
    book.cells.append(nbformat.v4.new_code_cell(f"import json\n{last}"))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3", resources=resources).execute()
    (output,) = book.cells[-1]["outputs"]
    (free, climbed), (held, _) = json.loads(output["text"])
    assert climbed > 5
    assert free < held - 2  # -7 and 1.3 here
    assert not [o for cell in book.cells for o in cell.get("outputs", []) if o.get("name") == "stderr"]
    images = [o for cell in book.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(images) == 1
