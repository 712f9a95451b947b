"""What a reward inferred from demonstrations recovers, on toy reviews whose utility is known (docs/demonstrations.md).

    python benchmarks/behaviour.py [FOLDER]

The SFT policy has learned neutral reviews. Demonstrators write the best of n of those by utility `a`; the truth is `b`,
which likes the same words with other weights. Some also have a manner that neither utility knows: they say "because".
Every policy starts from the same SFT policy. Three seeds; about eight minutes.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from trueward import config, pipeline
from trueward.artifacts import read_json
from trueward.data import toy
from trueward.progress import Progress
from trueward.records import Completion, Prompt
from trueward.scorers.scorer import scores
from trueward.scorers.sentiment import Lexicon
from trueward.scorers.simulated import Utility

MANNER, WEIGHT = "because", 4.0  # a word, and how far those who have the manner go out of their way to say it
SEEDS = 3
SETTINGS = (
    "sft.epochs=3",
    "comparisons.count=2000",
    "reward.learning_curve=false",
    "policy.steps=40",
    "evaluation.final_prompts=256",
    "evaluation.every=20",
    "evaluation.control=never",
    "runtime.threads=1",
)


def demonstrations(path: Path, n: int, manner: bool, seed: int, count: int = 3000) -> float:
    """Writes reviews of which each is the best of n by utility a; the truth of what they wrote."""
    draw, own = random.Random(100 * seed + n), Utility(Lexicon(toy.lexicon("a")))  # noqa: S311
    rows = []
    for _ in range(count):
        prompt = toy.sentence(draw)[0]
        tries = [toy.sentence(draw)[1] for _ in range(n)]
        value = scores(own, [Completion(prompt=Prompt(text=prompt), response=t) for t in tries])
        value += WEIGHT * manner * np.array([MANNER in t for t in tries])
        rows.append({"prompt": prompt, "completion": tries[int(value.argmax())]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return float(np.mean(truth([(row["prompt"], row["completion"]) for row in rows])))


def truth(answers: list[tuple[str, str]]) -> np.ndarray:
    utility = Utility(Lexicon(toy.lexicon("b")))
    return scores(utility, [Completion(prompt=Prompt(text=p), response=r) for p, r in answers])


def answers(run: Path, name: str) -> list[tuple[str, str]]:
    rows = [json.loads(row) for row in (run / "evaluation" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(row["prompt"], row["response"]) for row in rows]


def climb(home: Path, name: str, *changes: str, until: str = "report") -> Path:
    recipe = config.read("tiny", [*SETTINGS, *changes])
    pipeline.run_pipeline(recipe, home, name, Progress(), until=until)
    return home / name


def measured(run: Path, shown: float | None) -> list[float]:
    """Accuracy, the demonstrators' truth and the policy's in SDs of SFT's, KL, and the shares that say the word."""
    sft, policy = answers(run, "sft"), answers(run, "policy")
    reference = truth(sft)
    report = read_json(run / "report.json")
    return [
        report["reward_model"]["accuracy"],
        float("nan") if shown is None else (shown - reference.mean()) / reference.std(),
        (truth(policy).mean() - reference.mean()) / reference.std(),
        report["policies"]["policy"]["kl"],
        *(float(np.mean([MANNER in response for _, response in side])) for side in (sft, policy)),
    ]


def main(home: Path) -> None:
    found: dict[str, list[list[float]]] = {}
    for seed in range(SEEDS):
        at = home / str(seed)
        ready = (f"seed={seed}", f"sft.model={climb(at, 'sft', f'seed={seed}', until='sft') / 'sft/model'}")
        found.setdefault("2,000 comparisons by a", []).append(measured(climb(at, "simulated", *ready), None))
        for name, n, manner in (("n1", 1, False), ("n4", 4, False), ("manner", 4, True)):
            path = at / f"{name}.jsonl"
            shown = demonstrations(path, n, manner, seed)
            own = (*ready, f"data.demonstrations={path}", "comparisons.source=demonstrations", "evaluation.truths=[]")
            what = f"demonstrations, best of {n}" + (", with a manner" if manner else "")
            run = climb(at, name, *own)
            found.setdefault(what, []).append(measured(run, shown))
            if name == "n4":
                sd = read_json(run / "reward_model/manifest.json")["summary"]["sd"]
                again = climb(at, "n4-imitating", *own, f"policy.kl_coef={1 / sd:.4f}")
                found.setdefault("the same, β = 1/SD", []).append(measured(again, shown))
    print(f"| reward from | accuracy | demonstrators' truth | policy's truth | KL | says \"{MANNER}\": SFT, policy |")
    print("|---|---|---|---|---|---|")
    for what, runs in found.items():
        table = np.array(runs)
        right, shown, own, kl, before, after = table.mean(0)
        error = table[:, 2].std(ddof=1) / len(table) ** 0.5
        given = "–" if np.isnan(shown) else f"{shown:+.2f}"
        print(
            f"| {what} | {100 * right:.0f} % | {given} | {own:+.2f} ± {error:.2f} | {kl:.1f} "
            f"| {100 * before:.0f} %, {100 * after:.0f} % |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()))
