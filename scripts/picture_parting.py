"""README's picture: proxy and truth by step in the nano lab, without an anchor and with one.

python scripts/picture_parting.py [docs/images/parting.png]     (a minute)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import trueward as tw

PROXY, TRUTH, GREY = "#b4531a", "#1f6f8b", "#8a8f98"
STEPS = 60


def main(path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
    with tempfile.TemporaryDirectory() as home:
        for axis, kl_coef in zip(axes, (0.0, 0.3), strict=True):
            settings = {"policy.kl_coef": kl_coef, "policy.steps": STEPS, "evaluation.control": "never"}
            run = tw.run("nano", settings, out=Path(home) / f"{kl_coef}", runtime={"threads": 1})
            rows = run.evaluations
            axis.axhline(0, color=GREY, linewidth=0.8)
            for key, colour, label in (
                ("proxy", PROXY, "proxy: what PPO is paid"),
                ("truth", TRUTH, "truth: what people want"),
            ):
                axis.plot(rows["step"], rows[key], color=colour, linewidth=2, label=label)
                axis.fill_between(
                    rows["step"],
                    rows[key] - 1.96 * rows[f"{key}_se"],
                    rows[key] + 1.96 * rows[f"{key}_se"],
                    color=colour,
                    alpha=0.15,
                    linewidth=0,
                )
            word = "" if run.verdict is None else f": {run.verdict.word}"
            anchor = "no anchor (β = 0)" if kl_coef == 0 else f"anchored (β = {kl_coef:g})"
            axis.set_title(f"{anchor}{word}", loc="left", fontsize=11)
            axis.set_xlabel("step of PPO")
            axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("SDs of the SFT policy's answers")
    axes[0].legend(frameon=False, loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/parting.png"))
