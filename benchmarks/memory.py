"""What `trueward run --plan` computes, beside what processes take; and the table of docs/memory.md.

    python benchmarks/memory.py measure
    python benchmarks/memory.py measure --only "PPO, whole networks"
    python benchmarks/memory.py table

`measure` writes models with random weights (no download) and runs two steps of each stage of a small recipe, each recipe in a
process of its own. What is printed, above what it was when all was imported and the data were read, is the most that was *in
use* (what malloc has given out, looked at every millisecond, and the pages of mapped files), which the plan is held to, and the
most that was *resident* (VmHWM): malloc keeps what is freed, and with gaps. `table` is arithmetic alone: it measures nothing.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

SHAPES = {  # features, layers, heads of queries and of keys, of the feed-forward network
    "small": (384, 8, 6, 2, 1024),
    "wide": (768, 5, 12, 4, 2048),
    "deep": (256, 20, 4, 4, 768),
}
SETTINGS = [
    *("runtime.threads=1", "runtime.device=cpu", "data.held_out=0.02", "data.max_prompt_tokens=16"),
    *("sft.epochs=0.1", "sft.batch_size=128", "comparisons.count=64", "reward.epochs=1", "reward.batch_size=32"),
    *(
        "reward.learning_curve=false",
        "reward.probe=0",
        "policy.steps=2",
        "policy.batch_size=64",
        "policy.minibatches=1",
    ),
    *("policy.epochs=1", "sampler.max_new_tokens=48", "sampler.engine.max_num_seqs=64", "evaluation.final_prompts=32"),
    *("evaluation.step_prompts=32", "evaluation.every=2", "evaluation.control=never"),
]
CASES: dict[str, tuple[str, str, str, list[str]]] = {  # family, shape, last stage, settings
    "PPO, whole networks": ("llama", "small", "policy", ["policy.kind=ppo"]),
    "SFT, many layers": ("llama", "deep", "sft", []),
    "SFT, checkpointing": ("llama", "deep", "sft", ["runtime.checkpointing=true"]),
    "SFT, adapters": ("llama", "small", "sft", ["lora.rank=16"]),
    "SFT, Qwen2, 512 tokens at once": ("qwen2", "wide", "sft", ["runtime.micro_batch_tokens=512"]),
    "reward model, Qwen2": (
        "qwen2",
        "wide",
        "reward_model",
        ["comparisons.source=file", "data.max_response_tokens=64"],
    ),
}
HUB = {  # the same, the vocabulary, and whether the output embeddings are the input's, as their config.json has them
    "Qwen2.5-0.5B": ("qwen2", (896, 24, 14, 2, 4864), 151936, True),
    "Qwen2.5-1.5B": ("qwen2", (1536, 28, 12, 2, 8960), 151936, True),
    "Qwen2.5-3B": ("qwen2", (2048, 36, 16, 2, 11008), 151936, True),
    "Qwen2.5-7B": ("qwen2", (3584, 28, 28, 4, 18944), 152064, False),
    "Llama-3.1-8B": ("llama", (4096, 32, 32, 8, 14336), 128256, False),
}
CARDS = (8, 16, 24, 48, 80)  # GB
TOKENS, RESERVE = 4096, 1e9  # at once; bytes of a card that the plan leaves free


def status(name: str) -> int:
    """Bytes of one line of Linux's status of this process."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(name))


FIELDS = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class Malloc(ctypes.Structure):
    """glibc's mallinfo2."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in FIELDS)


class InUse:
    """The most that was in use since it was made, bytes."""

    def __init__(self) -> None:
        self._info = ctypes.CDLL(None).mallinfo2
        self._info.restype = Malloc
        self._first = self.peak = self._now()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def above(self) -> int:
        """Above what was in use at first."""
        return self.peak - self._first

    def _now(self) -> int:
        info = self._info()
        return int(info.uordblks + info.hblkhd) + status("RssFile")

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self._now())
            time.sleep(1e-3)


LEARNS = {
    "all weights": ["lora.rank=0"],
    "adapters, rank 16": ["lora.rank=16"],
    "adapters on four bits": ["lora.rank=16", "lora.base=nf4"],
}


def config_of(family: str, shape: tuple[int, ...], vocabulary: int, tied: bool) -> Any:
    """A configuration of transformers."""
    from transformers import AutoConfig

    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size")
    sizes = dict(zip(names, shape, strict=True))
    return AutoConfig.for_model(family, **sizes, vocab_size=vocabulary, tie_word_embeddings=tied)


def write_model(family: str, shape: str, folder: Path) -> None:
    """A model with random weights, the tokenizer of trueward:tiny."""
    import torch
    from transformers import AutoModelForCausalLM

    from trueward.models import loading, tiny
    from trueward.models.network import Network

    torch.manual_seed(0)
    tokenizer = tiny.build()[1]
    config = config_of(family, SHAPES[shape], len(tokenizer), tied=True)
    config.max_position_embeddings = 128
    model = AutoModelForCausalLM.from_config(config)
    for each in (model.config, model.generation_config):
        each.bos_token_id, each.eos_token_id, each.pad_token_id = 1, 2, 0
    loading.save(Network(model, tokenizer), folder)


def recipe_of(model: Path, more: list[str]) -> Any:
    from trueward import config
    from trueward.data import toy

    settings = list(more)
    if "comparisons.source=file" in more:  # simulated annotators can't tell apart what random weights write
        file = model.parent / "comparisons.jsonl"
        draw, words = random.Random(0), [*toy.GOOD, *toy.BAD, *toy.NOUNS]  # noqa: S311
        sizes = {"prompt": 4, "chosen": 46, "rejected": 46}
        rows = [{k: " " + " ".join(draw.choices(words, k=n)) for k, n in sizes.items()} for _ in range(160)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        settings.append(f"comparisons.path={file}")
    return config.read("tiny", [f"model.base={model}", *SETTINGS, *settings])


def run_until(last: str, model: Path, home: Path, more: list[str]) -> None:
    """In a process of its own: two steps of every stage up to the last, and the peak above the imports."""
    import peft  # noqa: F401
    import torch

    from trueward.data.collate import Collator
    from trueward.models import heads, loading
    from trueward.pipeline.cache import RunCache
    from trueward.pipeline.graph import graph
    from trueward.pipeline.process import process_settings
    from trueward.pipeline.run import check_inputs
    from trueward.pipeline.surroundings import run_env
    from trueward.progress import Progress
    from trueward.records import Completion, Prompt
    from trueward.training.env import Trial

    recipe = recipe_of(model, more)
    network = loading.causal("trueward:tiny", 0, torch.device("cpu"))  # what is imported and laid out at first use
    prompt = Prompt(text="the film")
    tokens = Collator(network.tokenizer, network.context).tokens([Completion(prompt=prompt, response=" is good .")])
    heads.response_logprobs(network.model, tokens).sum().backward()
    del network
    with process_settings(recipe):
        env = replace(run_env(recipe, Progress(), tracked=False), trial=Trial(2, 8))
        source = check_inputs(recipe, env, last)
        before, used = status("VmHWM"), InUse()
        with RunCache(home, "run", recipe, env).open() as cache:
            for made in graph(recipe, source, cache):
                if made.name == last:
                    break
        print(json.dumps({"resident": status("VmHWM") - before, "used": used.above}))


def measure(only: list[str]) -> None:
    """The table of plans beside peaks."""
    from trueward.pipeline.footprint.plan import plan_memory

    print("| recipe | weights | stages up to | plan, MB | in use, MB | plan / in use | resident, MB |")
    print("|---|---|---|---|---|---|---|")
    for name, (family, shape, last, more) in CASES.items():
        if only and name not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            model, home = Path(folder) / "model", Path(folder) / "runs"
            write_model(family, shape, model)
            plan = plan_memory(recipe_of(model, more))
            command = [sys.executable, __file__, "run", last, str(model), str(home), *more]
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)  # noqa: S603
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            names = [row.stage for row in plan.stages]
            expected = max(row.peak for row in plan.stages[: names.index(last) + 1])
            assert plan.plan is not None
            weights = f"{plan.plan.shape.weights / 1e6:.0f} million"
            sizes = [f"{size / 1e6:.0f}" for size in (expected, found["used"])]
            ratio, resident = f"{expected / found['used']:.2f}", f"{found['resident'] / 1e6:.0f}"
            print("| " + " | ".join([name, weights, last, *sizes, ratio, resident]) + " |", flush=True)


def table() -> None:
    """The table of models and cards: arithmetic alone."""
    from trueward import config
    from trueward.pipeline.footprint.arithmetic import LOW, Widths
    from trueward.pipeline.footprint.model_shape import of_config
    from trueward.pipeline.footprint.stage_memory import Plan, SequenceLengths

    print("| model | what learns | checkpointing | float32 | card | bfloat16 | card |")
    print("|---|---|---|---|---|---|---|")
    for name, (family, shape, vocabulary, tied) in HUB.items():
        sizes = of_config(config_of(family, shape, vocabulary, tied))
        for what, changes in LEARNS.items():
            for kept, checkpointing in {"no": "false", "yes": "true"}.items():
                recipe = config.read("instruct", [*changes, f"runtime.checkpointing={checkpointing}"])
                cells = []
                for widths in (Widths(), LOW):
                    plan = Plan(recipe, sizes, SequenceLengths(512, 256), TOKENS, widths)
                    peak = max(stage.peak for stage in plan.stages())
                    card = next((f"{c} GB" for c in CARDS if peak + RESERVE <= c * 1e9), "none")
                    cells.append(f"{peak / 1e9:.1f} GB | {card}")
                print(f"| {name} | {what} | {kept} | {cells[0]} | {cells[1]} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "table", "run"))
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--only", action="append", help="one recipe, by its name in the table; may be repeated")
    given = parser.parse_args()
    if given.what == "run":
        last, model, home, *more = given.rest
        run_until(last, Path(model), Path(home), more)
    elif given.what == "measure":
        measure(given.only or [])
    else:
        table()


if __name__ == "__main__":
    main()
