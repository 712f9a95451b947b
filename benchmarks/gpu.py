"""What only an accelerator can show: numbers equal to the CPU's, tokens a second, memory beside the plan.

    python benchmarks/gpu.py equal
    python benchmarks/gpu.py speed
    python benchmarks/gpu.py speed --shape Qwen2.5-1.5B --only GRPO --type bfloat16

`equal` trains small random models of two families in float32, the last stage once on the CPU and once on the device, from the
same lower stages, and prints how far apart the logged figures of the first and of the last step are, and the weights. Where the
processor's and the device's rounding let a sampled token tip over, the later steps are those of other answers, and it says so.
`speed` runs a few steps of each loop on random weights in a model's shape (no download), each in a process of its own: trained
and sampled tokens a second, the device's largest memory, and the plan's. `--device cpu --shape tiny` tries the script itself.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import memory

LOOPS: dict[str, tuple[str, list[str]]] = {  # the stage that learns, and its settings
    "SFT": ("sft", []),
    "reward model": ("reward_model", []),
    "PPO": ("policy", ["policy.kind=ppo"]),
    "GRPO": ("policy", ["policy.kind=grpo"]),
    "DPO": ("policy", ["policy.kind=dpo"]),
}
BEFORE = {"sft": "prepare", "reward_model": "comparisons", "policy": "reward_model"}
TINY = ("llama", (32, 2, 4, 2, 64), 256, True)
SMALL = ("runtime.threads=1", "sft.epochs=0.1", "comparisons.count=100", "policy.steps=3", "policy.batch_size=16")
LITTLE = ("sampler.max_new_tokens=12", "evaluation.step_prompts=16", "evaluation.every=99", "evaluation.control=never")
UNTIMED = ("seconds", "memory")
ROWS = 256  # demonstrations of `speed`
WORDS = {"prompt": 96, "answer": 160}


def settings(device: str, precision: str) -> list[str]:
    """Those of where and in what precision it runs."""
    return [f"runtime.device={device}", f"model.dtype={precision}"]


def write_model(family: str, shape: tuple[int, ...], vocabulary: int, tied: bool, folder: Path) -> None:
    """Random weights in that shape, with the tokenizer of trueward:tiny: its other tokens are never drawn."""
    import torch
    from transformers import AutoModelForCausalLM

    from trueward.models import loading, tiny
    from trueward.models.network import Network

    torch.manual_seed(0)
    tokenizer = tiny.build()[1]
    config = memory.config_of(family, shape, max(vocabulary, len(tokenizer)), tied)
    config.max_position_embeddings = 1024
    model = AutoModelForCausalLM.from_config(config)
    for each in (model.config, model.generation_config):
        each.bos_token_id, each.eos_token_id, each.pad_token_id = 1, 2, 0
    loading.save(Network(model, tokenizer), folder)


# The same numbers.


def climb(home: Path, name: str, stage: str, changes: list[str]) -> Path:
    """A run of `tiny`'s recipe up to a stage."""
    from trueward import config
    from trueward.pipeline.run import run_pipeline
    from trueward.progress import Progress

    run_pipeline(config.read("tiny", [*SMALL, *LITTLE, *changes]), home, name, Progress(), until=stage)
    return home / name


def figures(run: Path, stage: str) -> list[dict[str, float]]:
    """What its steps logged, without seconds and memory."""
    from trueward.training.journal import read_log

    rows = read_log(run / stage / "metrics.jsonl")
    return [
        {k: float(v) for k, v in row.items() if isinstance(v, int | float) and not k.startswith(UNTIMED)}
        for row in rows
    ]


def farthest(one: dict[str, float], other: dict[str, float]) -> tuple[float, str]:
    """The largest difference, of the figure's size or of .01 where it is smaller, and the figure's name."""
    assert one.keys() == other.keys(), "both log the same figures"
    return max((abs(v - other[k]) / max(abs(v), 0.01), k) for k, v in one.items())


def weights_apart(one: Path, other: Path) -> float:
    """The norm of the difference, of the first one's norm."""
    from safetensors.torch import load_file

    a, b = (load_file(run / "model/model.safetensors") for run in (one, other))
    off = math.sqrt(sum(float((a[k].double() - b[k].double()).square().sum()) for k in a))
    return off / math.sqrt(sum(float(v.double().square().sum()) for v in a.values()))


def compared(loop: str, device: str, model: Path, home: Path) -> str:
    """The row of one loop: its last stage on the CPU and on the device, from the same lower stages."""
    stage, changes = LOOPS[loop]
    changes = [f"model.base={model}", "sampler.temperature=0.7", *changes]
    climb(home / "cpu", "lower", BEFORE[stage], [*changes, *settings("cpu", "float32")])
    shutil.copytree(home / "cpu", home / "device")
    runs = [
        climb(home / place, "run", stage, [*changes, *settings(where, "float32")])
        for place, where in (("cpu", "cpu"), ("device", device))
    ]
    ours, theirs = (figures(run, stage) for run in runs)
    (first, what), (last, then) = (farthest(a, b) for a, b in ((ours[0], theirs[0]), (ours[-1], theirs[-1])))
    same = "yes"
    if stage == "policy" and loop != "DPO":
        texts = ((run / "policy/rollouts.jsonl.gz").read_bytes() for run in runs)
        same = "yes" if len({tuple(answers(text)) for text in texts}) == 1 else "no"
    apart = weights_apart(*(run / stage for run in runs))
    return f"| {loop} | {first:.1e} ({what}) | {last:.1e} ({then}) | {apart:.1e} | {same} |"


def answers(packed: bytes) -> Iterator[str]:
    """What was sampled, in order."""
    import gzip

    for line in gzip.decompress(packed).decode("utf-8").splitlines():
        yield json.loads(line)["response"]


def equal(device: str, only: list[str]) -> None:
    """The table of differences between the device and the CPU."""
    print(
        "| loop | first step, farthest figure | last step | weights, of their norm | the same answers |\n|---|---|---|---|---|"
    )
    for family in ("llama", "qwen2"):
        for loop in LOOPS:
            if only and loop not in only:
                continue
            with tempfile.TemporaryDirectory() as folder:
                model = Path(folder) / "model"
                write_model(family, *TINY[1:], model)
                print(compared(loop, device, model, Path(folder)).replace("| ", f"| {family}: ", 1), flush=True)


# Speed and memory.


def write_texts(folder: Path) -> Path:
    """Demonstrations of some hundred words each, in the words that the tokenizer knows."""
    from trueward.data import toy

    words = " ".join(prompt + response for prompt, response in toy.reviews(ROWS, seed=1)).split()

    def some(row: int, many: int) -> str:
        at = row * 7 % len(words)
        return " ".join((words[at:] + words[:at])[:many])

    rows = [
        {"prompt": some(row, WORDS["prompt"]), "completion": " " + some(row + ROWS, WORDS["answer"])}
        for row in range(ROWS)
    ]
    file = folder / "long.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def recipe_changes(loop: str, model: Path, texts: Path, device: str, precision: str) -> list[str]:
    """Everything that sets the recipe of `speed` apart from `tiny`."""
    return [
        *(f"model.base={model}", f"data.demonstrations={texts}", *settings(device, precision), "runtime.threads=0"),
        *("data.max_prompt_tokens=128", "data.max_response_tokens=192", "evaluation.truths=[]", "sft.batch_size=16"),
        *("comparisons.source=demonstrations", "comparisons.count=64", "reward.batch_size=16", "policy.batch_size=32"),
        *("policy.minibatches=2", "policy.group.size=4", "sampler.max_new_tokens=160", "reward.learning_curve=false"),
        *("reward.probe=0", *LOOPS[loop][1]),
    ]


def profiled(loop: str, model: Path, texts: Path, device: str, precision: str, steps: int) -> None:
    """In a process of its own: prints the profile of one loop's recipe and its plan as one line of JSON."""
    from trueward import config
    from trueward.pipeline.footprint.plan import plan_memory
    from trueward.pipeline.profile import profile
    from trueward.progress import Progress

    changes = recipe_changes(loop, model, texts, device, precision)
    plan = plan_memory(config.read("tiny", changes))
    found = profile("tiny", changes, steps, Progress())
    print(json.dumps({"plan": plan.peak, **found}))


def speed(device: str, shape: str, only: list[str], precisions: list[str], steps: int) -> None:
    """The table of tokens a second and memory."""
    made = TINY if shape == "tiny" else memory.HUB[shape]
    print(
        f"{shape}, random weights\n\n| loop | products | trained tokens/s | sampled tokens/s | memory, GB | plan, GB |"
        "\n|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        write_model(*made, model)
        texts = write_texts(Path(folder))
        for loop in LOOPS:
            for precision in precisions:
                if not only or loop in only:
                    row = speed_row(loop, model, texts, device, precision, steps)
                    print(f"| {loop} | {precision} | {row} |", flush=True)


def speed_row(loop: str, model: Path, texts: Path, device: str, precision: str, steps: int) -> str:
    """The figures of one loop, or why there are none."""
    given = [loop, str(model), str(texts), device, precision, str(steps)]
    done = subprocess.run(  # noqa: S603
        [sys.executable, __file__, "profiled", *given], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return " | ".join([(done.stderr.strip().splitlines() or ["no word"])[-1][:120], *[""] * 3])
    found = json.loads(done.stdout.splitlines()[-1])
    rates = {row["stage"]: row["tokens_per_second"] for row in found["stages"]}[LOOPS[loop][0]]
    cells = [f"{rates[kind]:,.0f}" if kind in rates else "" for kind in ("learn", "act")]
    return " | ".join([*cells, f"{found['peak_memory_mb'] / 1e3:.2f}", f"{found['plan'] / 1e9:.2f}"])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("equal", "speed", "profiled"))
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", default="Qwen2.5-0.5B", choices=("tiny", *memory.HUB))
    parser.add_argument("--only", action="append", choices=tuple(LOOPS), help="one loop; may be repeated")
    parser.add_argument("--type", action="append", choices=("float32", "bfloat16"), help="default: both")
    parser.add_argument("--steps", type=int, default=3)
    given = parser.parse_args()
    if given.what == "profiled":
        loop, model, texts, device, precision, steps = given.rest
        profiled(loop, Path(model), Path(texts), device, precision, int(steps))
        return
    import torch

    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here; `--device cpu --shape tiny` tries the script itself")
    if given.what == "equal":
        equal(given.device, given.only or [])
    else:
        speed(given.device, given.shape, given.only or [], given.type or ["bfloat16", "float32"], given.steps)


if __name__ == "__main__":
    main()
