"""Own files: demonstrations, prompts and people's comparisons as JSONL, kept on disk and resumed by the same call.

python from_files.py [FOLDER]     (makes small files in FOLDER if there are none)
"""

import json
import random
import sys
from pathlib import Path

import trueward as tw

OPENERS = ["this film is", "the story was", "the acting feels", "a movie that is"]
GOOD, BAD = ["warm", "lovely", "fresh"], ["dull", "stale", "slow"]


def make_files(folder: Path) -> None:
    draw = random.Random(0)

    def write(name: str, rows: list[dict[str, str]]) -> None:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def answer(words: list[str]) -> str:
        return f" {draw.choice(words)} and {draw.choice(words)} ."

    prompts = [f"{draw.choice(OPENERS)} {a} {b}" for a in ("often", "quite", "very", "always") for b in GOOD + BAD]
    shown = [{"prompt": p, "completion": answer(GOOD if draw.random() < 0.5 else BAD)} for p in prompts * 8]
    judged = [{"prompt": p, "chosen": answer(GOOD), "rejected": answer(BAD)} for p in prompts * 5]
    write("demonstrations.jsonl", shown)
    write("comparisons.jsonl", judged)


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    if not (folder / "comparisons.jsonl").is_file():
        make_files(folder)
    quick = {"sampler": {"max_new_tokens": 8}, "runtime": {"threads": 1}}
    sft = tw.sft("trueward:tiny", folder / "demonstrations.jsonl", epochs=4, batch_size=8, out=folder / "sft", **quick)
    reward = tw.fit_reward_model(sft, folder / "comparisons.jsonl", epochs=3, out=folder / "reward", **quick)
    print(reward)
    policy = tw.optimize(sft, reward, steps=10, batch_size=32, out=folder / "policy", **quick)
    print(policy.summary)
    print(policy.rollouts.tail(3)[["prompt", "response", "score"]].to_string(index=False))
    policy.save(folder / "model")  # transformers' own form: AutoModelForCausalLM.from_pretrained(folder / "model")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("own"))
