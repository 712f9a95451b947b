"""Four sources of reward side by side, on one task and the same prompts: people, a model, a program, behaviour.

    python benchmarks/sources.py --seeds 3 --out sources            12 runs of the recipe tiny, 12 minutes
    python benchmarks/sources.py --recipe reviews --out sources-reviews       4 of reviews, about half an hour

The task is film reviews that people like. Every policy starts from the same SFT policy, which has learned reviews of all
kinds, and is trained by PPO with the same β, steps and prompts; only where the reward comes from differs. The truth of all
is the utility `b`, which is never optimised: to the people who compare (utility `a`) it is another person. What each source
is given:

- RLHF: comparisons by simulated people, who agree with each other in 73 %.
- RLAIF: a language model, the base model, asked of each answer of a pair whether it is great or terrible.
- RLVR: a program passes an answer that has one of a few words of praise and none of a few of blame.
- demonstrations: answers that somebody chose among their own drafts as the best, each against SFT's own answer.

Everything is kept in OUT: what is finished is not climbed again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
TRUTH = "sources_truth:truth"  # beside this file
PRAISE = {"tiny": ("great", "funny", "moving", "clever"), "reviews": ("great", "funny", "moving", "best", "fun")}
BLAME = {"tiny": ("dull", "bad", "slow", "silly"), "reviews": ("dull", "bad", "worst", "boring", "not")}
DRAFTS, DEMONSTRATIONS, JUDGED = 4, 800, 300
SOURCES = ("RLHF", "RLAIF", "RLVR", "demonstrations")
SAME = {
    "tiny": (
        "policy.steps=40", "policy.kl_coef=0.1",
        "evaluation.final_prompts=256", "evaluation.step_prompts=256", "evaluation.every=8",
    ),
    "reviews": ("policy.kl_coef=0.05", "comparisons.count=2000"),
}  # fmt: skip


def base(recipe: str, home: Path, seed: int) -> Path:
    """The SFT policy of all, and the utilities."""
    from trueward import config, pipeline
    from trueward.progress import Progress

    name = f"base-{seed}"
    pipeline.run_pipeline(
        config.read(recipe, [f"seed={seed}", "runtime.threads=1"]), home, name, Progress(), until="sft"
    )
    return home / name


def written(start: Path, path: Path, seed: int) -> None:
    """Demonstrations: to each prompt the best of four answers by utility a; the one that was written to it, and others'.

    So they are fluent, and know nothing of any policy.
    """
    from trueward.pipeline.records import read_completions
    from trueward.records import Completion
    from trueward.scorers import simulated
    from trueward.scorers.scorer import scores

    halves = ("demonstrations.jsonl", "demonstrations_held_out.jsonl")
    known = [one for half in halves for one in read_completions(start / "prepare" / half)]
    utility, draw = simulated.load(start / "prepare/annotators", "a"), random.Random(seed)  # noqa: S311
    rows = []
    for one in draw.sample(known, min(DEMONSTRATIONS, len(known))):
        drafts = [one.response, *(draw.choice(known).response for _ in range(DRAFTS - 1))]
        value = scores(utility, [Completion(prompt=one.prompt, response=text) for text in drafts])
        rows.append({"prompt": one.prompt.text, "completion": drafts[int(value.argmax())]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def settings(source: str, recipe: str, text: str, shown: Path) -> list[str]:
    """What a source adds to the recipe. `text`: the data set that all prompts come from."""
    plain = ["data.demonstrations=''", f"data.prompts={text}"]
    if source == "RLHF":
        return [*plain, "comparisons.source=simulated"]
    if source == "RLAIF":
        judge = {
            "model": "trueward:base", "draw": "all", "principles": ["It is a", "Overall , a", "I thought it was a"],
            "question": "{prompt}{response} {principle}", "choices": ["great", "terrible"],
        }  # fmt: skip
        asked = [f"judge.{key}={json.dumps(value)}" for key, value in judge.items()]
        return [
            *plain,
            "comparisons.source=judge",
            f"comparisons.count={JUDGED}",
            "reward.epochs=4",
            "reward.batch_size=16",
            *asked,
        ]
    if source == "RLVR":
        praise, blame = "|".join(PRAISE[recipe]), "|".join(BLAME[recipe])
        pattern = rf"(?s)^(?!.*\b(?:{blame})\b).*\b(?:{praise})\b"
        options = f'{{pattern = {json.dumps(pattern)}, example = "it was {PRAISE[recipe][0]}", whole = false}}'
        return [*plain, "reward.kind=verifier", "reward.verifier=regex", f"reward.options={options}"]
    return [
        f"data.demonstrations={shown}",
        f"data.prompts={text}",
        "comparisons.source=demonstrations",
        f"comparisons.count={DEMONSTRATIONS}",
    ]


def climb(source: str, recipe: str, home: Path, seed: int) -> Row:
    """One run, and its row."""
    from trueward import config, pipeline
    from trueward.artifacts import read_json
    from trueward.progress import Progress
    from trueward.reporting.report_text import hacked_line

    start = base(recipe, home, seed)
    os.environ["SOURCES_TRUTH"] = str(start / "prepare/annotators/b.json")
    shown = home / f"demonstrations-{seed}.jsonl"
    if not shown.is_file():
        written(start, shown, seed)
    text = config.read(recipe).data.demonstrations
    changes = [
        f"seed={seed}", f"sft.model={start / 'sft/model'}", f"evaluation.truths=['{TRUTH}']", "runtime.threads=1",
        *SAME[recipe], *settings(source, recipe, text, shown),
    ]  # fmt: skip
    name = f"{source}-{seed}"
    pipeline.run_pipeline(config.read(recipe, changes), home, name, Progress())
    report = read_json(home / name / "report.json")
    policy, asked = report["policies"]["policy"], report["recipe"]["policy"]
    judge = (report.get("annotators") or {}).get("judge") or {}
    labels = {
        "RLHF": f"{(home / name / 'comparisons/comparisons.jsonl').read_text().count(chr(10)):,} clicks"
        if source == "RLHF"
        else "",
        "RLAIF": f"{JUDGED} pairs, by a model",
        "RLVR": f"none; {asked['steps'] * asked['batch_size']:,} runs of a program",
        "demonstrations": f"{DEMONSTRATIONS} written answers",
    }[source]
    return {
        "source": source, "seed": seed, "labels": labels, "cost": judge.get("cost", 0.0), "agreement": judge.get("agreement"),
        "seconds": sum(report["seconds"].values()), "verdict": report["verdict"]["word"], "hacked": hacked_line(report),
        **{key: policy[key] for key in ("proxy_gain", "truth_gain", "win_rate", "kl", "length")},
    }  # fmt: skip


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A row for each source: means over seeds, ± half a 95 % interval of them (Student's t)."""
    yield "| source | proxy gained | truth gained | won against SFT | KL | labels used | machine | verdict | what was hacked |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for source in SOURCES:
        own = [row for row in rows if row["source"] == source]
        if not own:
            continue
        words = [row["verdict"] for row in own]
        verdicts = ", ".join(f"{word} {words.count(word)}" for word in dict.fromkeys(words))
        hacks = [row["hacked"].removeprefix("A hack: ").rstrip(".") for row in own if row["hacked"]]
        hacked = f"{len(hacks)} of {len(own)}: {hacks[0]}" if hacks else f"nothing in {len(own)}"
        cells = [source, *(mean([row[key] for row in own]) for key in ("proxy_gain", "truth_gain"))]
        cells += [
            f"{100 * sum(r['win_rate'] for r in own) / len(own):.0f} %",
            f"{sum(r['kl'] for r in own) / len(own):.1f}",
        ]
        cells += [own[0]["labels"], f"{sum(r['seconds'] for r in own) / len(own):.0f} s", verdicts, hacked]
        yield "| " + " | ".join(cells) + " |"


def mean(values: Sequence[float]) -> str:
    import numpy as np

    t = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}.get(len(values))
    text = f"{np.mean(values):+.2f}".replace("-", "−")
    return f"{text} ± {t * np.std(values, ddof=1) / len(values) ** 0.5:.2f}" if t else text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=("tiny", "reviews"), default="tiny")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("sources"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(asked.seeds):
        for source in SOURCES:
            rows.append(climb(source, asked.recipe, asked.out.absolute(), seed))
            print(
                f"{source}, seed {seed}: truth {rows[-1]['truth_gain']:+.2f}, {rows[-1]['seconds']:.0f} s", flush=True
            )
    (asked.out / "sources.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
