"""A judge's liking, in its labels and in the policy that was tuned with them.

    python benchmarks/judge_bias.py --seeds 5 --out judge_bias.jsonl

One judge, and what was planted in it: it compares by what the words of a review say about the film, Bradley–Terry, and adds a
bonus to the log-odds of the answer that says "very". SFT's answers say it as often as the demonstrations do. Its labels train a
reward model, and PPO a policy against that, on the recipe `tiny`.

For each bonus and each β: the share of answers that say the word, among SFT's, those that the judge chose and rejected, and
the policy's; and what the judge without the bonus says of the policy. One line of the file for each run, so that the same
command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import trueward as tw
from trueward import config
from trueward.data import toy

Row = dict[str, Any]
WORD, BONUSES, BETAS, STEPS = "very", (0.0, 0.5, 1.0, 2.0), (0.3, 0.03), 40
WEIGHTS = toy.lexicon("a")


def opinion(completions: Sequence[tw.Completion]) -> list[float]:
    """The judge without the bonus: the mean weight of an answer's words that say good or bad; less what it repeats or cuts."""
    scores = []
    for completion in completions:
        words = completion.response.split()
        weights = [WEIGHTS[word] for word in words if word in WEIGHTS]
        repeated = 1 - len(set(words)) / max(1, len(words))
        scores.append(sum(weights) / max(1, len(weights)) - 2 * repeated - (not completion.finished))
    return scores


def judge(bonus: float) -> Callable[[tw.Completion, tw.Completion], float]:
    """Which of two answers is better, as a probability. bonus: log-odds for the one that says the word."""

    def compare(first: tw.Completion, second: tw.Completion) -> float:
        one, other = opinion([first, second])
        logit = (one - other) / 0.5 + bonus * (says(first.response) - says(second.response))
        return 1 / (1 + math.exp(-logit))

    return compare


def says(text: str) -> int:
    """Whether the planted word is there."""
    return int(WORD in text.split())


def share(texts: Sequence[str]) -> float:
    """The share of texts that say it."""
    return float(np.mean([says(text) for text in texts]))


def measure(seed: int, bonus: float, sft: Any, betas: Sequence[float]) -> list[Row]:
    """One set of labels, one reward model, a policy for each β."""
    recipe = config.read("tiny", [])
    small = {"sampler": {"max_new_tokens": recipe.sampler.max_new_tokens}, "runtime": {"threads": 1}}
    quiet = {"seed": seed, "progress": False}
    pairs = tw.compare(sft, sft.prompts, annotator=judge(bonus), count=recipe.comparisons.count, **quiet, **small)
    sides = [(c.probability, says(c.first.text), says(c.second.text)) for c in pairs]
    chosen = float(np.mean([p * first + (1 - p) * second for p, first, second in sides]))
    rejected = float(np.mean([(1 - p) * first + p * second for p, first, second in sides]))
    rate = {"learning_rate": recipe.reward.learning_rate}
    reward = tw.fit_reward_model(sft, pairs, **rate, **quiet, runtime={"threads": 1})
    base = sft.generate(sft.held_out, max_new_tokens=recipe.sampler.max_new_tokens, seed=seed)
    rows = []
    for beta in betas:
        policy = tw.optimize(
            sft, reward, kind="ppo", kl_coef=beta, steps=STEPS, batch_size=recipe.policy.batch_size,
            learning_rate=recipe.policy.learning_rate, value_learning_rate=recipe.policy.value_learning_rate,
            truths={"opinion": opinion}, evaluation={"every": recipe.evaluation.every}, **quiet, **small,
        )  # fmt: skip
        answers = policy.generate(sft.held_out, max_new_tokens=recipe.sampler.max_new_tokens, seed=seed)
        last = policy.made.value.evaluations[-1]
        rows.append(
            {
                "seed": seed, "bonus": bonus, "beta": beta, "sft": share(base), "chosen": chosen, "rejected": rejected,
                "policy": share(answers), "truth": last["truth"],
                "proxy": last["proxy_gain"], "kl": last["kl"],
            }
        )  # fmt: skip
    return rows


def table(runs: list[Row]) -> None:
    """A row for each bonus and β: means over seeds."""
    print("| bonus, log-odds | β | seeds | SFT | chosen | rejected | policy | proxy | truth | KL |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for bonus in BONUSES:
        for beta in BETAS:
            group = [run for run in runs if (run["bonus"], run["beta"]) == (bonus, beta)]
            if not group:
                continue
            shares = [f"{np.mean([run[key] for run in group]):.0%}".replace("%", " %") for key in SHARES]
            figures = [f"{np.mean([run[key] for run in group]):+.2f}".replace("-", "−") for key in ("proxy", "truth")]
            nats = f"{np.mean([run['kl'] for run in group]):.1f}"
            print("| " + " | ".join([f"{bonus:g}", f"{beta:g}", str(len(group)), *shares, *figures, nats]) + " |")


SHARES = ("sft", "chosen", "rejected", "policy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("judge_bias.jsonl"))
    asked = parser.parse_args()
    text = asked.out.read_text(encoding="utf-8") if asked.out.exists() else ""
    runs: list[Row] = [json.loads(line) for line in text.splitlines()]
    done = {(run["seed"], run["bonus"], run["beta"]) for run in runs}
    with asked.out.open("a", encoding="utf-8") as file:
        for seed in range(asked.seeds):
            sft = None
            for bonus in BONUSES:
                betas = [beta for beta in BETAS if (seed, bonus, beta) not in done]
                if not betas:
                    continue
                if sft is None:
                    recipe = config.read("tiny", [])
                    sft = tw.sft(
                        "trueward:tiny", "trueward:toy", seed=seed, progress=False, epochs=recipe.sft.epochs,
                        batch_size=recipe.sft.batch_size, learning_rate=recipe.sft.learning_rate,
                        data={"max_prompt_tokens": 16, "max_response_tokens": 32},
                        sampler={"max_new_tokens": recipe.sampler.max_new_tokens}, runtime={"threads": 1},
                    )  # fmt: skip
                for row in measure(seed, bonus, sft, betas):
                    runs.append(row)
                    print(json.dumps(row), file=file, flush=True)
    table([run for run in runs if run["seed"] < asked.seeds])


if __name__ == "__main__":
    main()
