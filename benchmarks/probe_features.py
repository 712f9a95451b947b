"""What straight lines can read of an SFT model's frozen states: at the last token or their mean, layer by layer.

    trueward run smollm2 --until comparisons --set comparisons.count=1600 --set comparisons.unfinished=redraw --out runs/probed
    python benchmarks/probe_features.py runs/probed --layers 5,10,15,20

The run's annotators have to be simulated, since the table says how far a margin goes with the difference in their utility.
Ridge logistic regressions on the differences of the two answers' states, in five folds of prompts; each cell is of the ridge
that is best for it. `--growth LAYER`: with how many comparisons, and with labels without noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from trueward import config
from trueward.data.collate import Collator
from trueward.models import loading
from trueward.models.network import Network
from trueward.pipeline.records import read_comparisons
from trueward.records import Completion
from trueward.scorers import simulated

PENALTIES = (3e-4, 1e-3, 3e-3)  # scikit-learn's C: the inverse of the ridge, for features of SD 1
COUNTS = (400, 800, 1280)
HELD = 300  # comparisons that the growth is measured on


def read_states(network: Network, answers: Sequence[Completion], layers: Sequence[int]) -> np.ndarray:
    """The residual stream after these layers, at the last token and as the mean of the answer's: [2, layers, n, d]."""
    tokens = Collator(network.tokenizer, network.context).tokens(answers)
    out = np.zeros((2, len(layers), len(answers), network.model.config.hidden_size))
    order = np.argsort(tokens.lengths.numpy(), kind="stable")
    with torch.no_grad():
        for rows in np.split(order, range(32, len(order), 32)):
            part = tokens.take(torch.from_numpy(rows))
            states = network.model.base_model(input_ids=part.ids, use_cache=False, output_hidden_states=True)
            for at, layer in enumerate(layers):
                for row, state in zip(rows, states.hidden_states[layer], strict=True):
                    start, stop = int(tokens.prompt_lengths[row]), int(tokens.lengths[row])
                    out[0, at, row], out[1, at, row] = state[stop - 1].numpy(), state[start:stop].mean(0).numpy()
    return out


def margins(x: np.ndarray, labels: np.ndarray, fit: np.ndarray, test: np.ndarray, penalty: float) -> np.ndarray:
    """The margins on `test` of a line that was fitted on `fit`; x [n, d], labels [n] bool."""
    sd = x[fit].std(0) + 1e-6
    line = LogisticRegression(C=penalty, fit_intercept=False, max_iter=300).fit(x[fit] / sd, labels[fit])
    return np.asarray((x[test] / sd) @ line.coef_[0])


def in_folds(x: np.ndarray, labels: np.ndarray, prompts: np.ndarray, gaps: np.ndarray) -> tuple[float, float, float]:
    """Share of labels found, share of utilities put in order, correlation with the difference in utility."""
    best = (0.0, 0.0, -1.0)
    for penalty in PENALTIES:
        found = np.zeros(len(x))
        for fit, test in GroupKFold(5).split(x, labels, prompts):
            found[test] = margins(x, labels, fit, test, penalty)
        right, order = ((found > 0) == labels).mean(), ((found > 0) == (gaps > 0)).mean()
        best = max(best, (float(right), float(order), float(np.corrcoef(found, gaps)[0, 1])), key=lambda row: row[2])
    return best


def growth(x: np.ndarray, labels: np.ndarray, gaps: np.ndarray, count: int) -> float:
    """The correlation with `count` comparisons, a mean over four draws."""
    draw, found = np.random.default_rng(0), []
    for _ in range(4):
        order = draw.permutation(len(x))
        test, fit = order[:HELD], order[HELD : HELD + count]
        found.append(max(np.corrcoef(margins(x, labels, fit, test, p), gaps[test])[0, 1] for p in PENALTIES))
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--layers", type=lambda s: [int(x) for x in s.split(",")], default=[5, 10, 15, 20])
    parser.add_argument("--growth", type=int, help="one of the layers")
    asked = parser.parse_args()
    recipe = config.read(str(asked.run / "recipe.toml"))
    rows = read_comparisons(asked.run / "comparisons" / "comparisons.jsonl")
    network = loading.causal(str(asked.run / "sft" / "model"), 0, torch.device("cpu"))
    states = read_states(network, [side for row in rows for side in row.completions()], asked.layers)
    utility = simulated.load(asked.run / "prepare" / "annotators", recipe.comparisons.annotator)
    first, second = ([u.score for u in utility(sides)] for sides in zip(*(r.completions() for r in rows), strict=True))
    gaps = np.array(first) - np.array(second)
    labels = np.array([row.probability > 0.5 for row in rows])
    prompts = np.array([row.prompt.id for row in rows])
    print(f"{len(rows):,} comparisons; the label is the utility's in {((gaps > 0) == labels).mean():.2f} of them\n")
    print("| states | label | utility | r |\n|---|---|---|---|")
    for kind, name in enumerate(("last token", "mean of the answer's tokens")):
        for at, layer in enumerate(asked.layers):
            x = states[kind, at, 0::2] - states[kind, at, 1::2]
            print(
                f"| {name}, layer {layer} | "
                + " | ".join(f"{v:.2f}" for v in in_folds(x, labels, prompts, gaps))
                + " |"
            )
    if asked.growth is None:
        return
    print(
        "\n| states | "
        + " | ".join(f"{n:,}" for n in COUNTS)
        + " | the most, labels without noise |\n|---|---|---|---|---|"
    )
    for kind, name in enumerate(("last token", "mean")):
        at = asked.layers.index(asked.growth)
        x = states[kind, at, 0::2] - states[kind, at, 1::2]
        found = [growth(x, labels, gaps, n) for n in COUNTS] + [growth(x, gaps > 0, gaps, COUNTS[-1])]
        print(f"| {name}, layer {asked.growth} | " + " | ".join(f"{v:.2f}" for v in found) + " |")


if __name__ == "__main__":
    main()
