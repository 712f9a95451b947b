"""README's picture of a sweep, made anew: python scripts/picture_sweep.py [docs/images/sweep-nano.png]     (half an hour)"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

BETAS = "policy.kl_coef=0,0.1,0.2,0.3,0.5,1,3,30"
PICTURE = Path(__file__).with_name("picture.py")


def main(path: Path) -> None:
    """The sweep that README shows, in a directory of its own, and the first chart of its page."""
    with tempfile.TemporaryDirectory() as home:
        words = ["-m", "trueward", "sweep", "nano", "--over", BETAS, "--seeds", "3", "--jobs", "2"]
        subprocess.run([sys.executable, *words], cwd=home, check=True)
        (page,) = Path(home).glob("runs/sweep-*/sweep.html")
        subprocess.run([sys.executable, str(PICTURE), str(page), "svg.chart", str(path.resolve())], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/sweep-nano.png"))
