"""What `sft.trainable_layers` and `reward.trainable_layers` save: processor's seconds in pairs, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/trainable_layers.py [--layers 12] [--pairs 3]

A random Llama of SmolLM2-135M's shape with fewer layers, and random tokens. A step of SFT, with all layers and with the top
half; two passes over comparisons, with all layers and with the top half on kept states (computing them is counted). The
two of a pair follow each other, and the next pair has them the other way round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from trueward.algorithms import reward_model, sft
from trueward.config import RewardConfig, SftConfig
from trueward.models.derived import scalar_head, trainable
from trueward.models.network import Network
from trueward.pipeline.head_start import settled
from trueward.records import Comparison, Completion, Prompt, Response
from trueward.training.env import Env
from trueward.training.setup import Ranking, Supervised

VOCABULARY, PROMPT, ANSWER = 49_152, 30, 24
BUDGET = 4096


def network(layers: int) -> Network:
    """Of SmolLM2-135M's sizes but for the layers, with random weights and a word for each token."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=VOCABULARY,
        tie_word_embeddings=True,
    )
    core = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    roles = {"pad_token": "w1", "eos_token": "w2", "bos_token": "w3", "unk_token": "w0"}
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    return Network(model, PreTrainedTokenizerFast(tokenizer_object=core, **roles))


def text(count: int, seed: int) -> str:
    """So many random words."""
    ids = torch.randint(10, VOCABULARY, (count,), generator=torch.Generator().manual_seed(seed))
    return " ".join(f"w{i}" for i in ids.tolist())


def comparisons(count: int) -> list[Comparison]:
    """Pairs of answers, each to a prompt of its own."""
    return [
        Comparison(
            prompt=Prompt(text=text(PROMPT, 3 * i)),
            first=Response(id="1", text=text(ANSWER, 3 * i + 1), finished=True),
            second=Response(id="2", text=text(ANSWER, 3 * i + 2), finished=True),
            probability=float(i % 2),
            source="random",
        )
        for i in range(count)
    ]


def sft_step(base: Network, top: int, rows: list[Completion]) -> Callable[[], object]:
    """One optimiser step, the first one's making of Adam's moments not counted."""
    config = SftConfig(batch_size=len(rows), epochs=1000, trainable_layers=top)
    learner = trainable(base, None, 0, top)
    setup = Supervised(policy=learner, demonstrations=rows, seed=0, micro_batch_tokens=BUDGET)
    steps = sft.train(config, setup, sft.start(config, setup))
    next(steps)
    return lambda: next(steps)


def two_passes(base: Network, top: int, rows: list[Comparison], batch: int) -> Callable[[], object]:
    """The whole training of a reward model, with what it reads beforehand."""
    config = RewardConfig(batch_size=batch, epochs=2, trainable_layers=top)

    def fit() -> None:
        start = settled(base, config, rows, Env(micro_batch_tokens=BUDGET))
        assert (start.states is None) == (top == 0)
        setup = Ranking(
            network=scalar_head(base, None, 0, 0, top),
            comparisons=rows,
            seed=0,
            micro_batch_tokens=BUDGET,
            states=start.states,
        )
        list(reward_model.train(config, setup, reward_model.start(config, setup)))

    return fit


def seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Prints a line of JSON for each pair, and the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=8, help="demonstrations of a step, and prompts of a step")
    parser.add_argument("--compared", type=int, default=16, help="comparisons")
    given = parser.parse_args()
    torch.set_num_threads(1)
    base, half = network(given.layers), given.layers // 2
    compared = comparisons(given.compared)
    rows = [Completion(prompt=c.prompt, response=c.first.text) for c in compared[: given.rows]]
    works = {
        "sft, a step": (sft_step(base, 0, rows), sft_step(base, half, rows)),
        "reward, two passes": tuple(two_passes(base, top, compared, given.rows) for top in (0, half)),
    }
    for name, (whole, top) in works.items():
        ratios = []
        for pair in range(given.pairs):
            if pair % 2:
                of_top, of_all = seconds(top), seconds(whole)
            else:
                of_all, of_top = seconds(whole), seconds(top)
            ratios.append(of_all / of_top)
            row = {"what": name, "all": round(of_all, 2), "top half": round(of_top, 2), "ratio": round(ratios[-1], 2)}
            print(json.dumps(row), flush=True)
        print(json.dumps({"what": name, "median ratio": round(statistics.median(ratios), 2)}), flush=True)


if __name__ == "__main__":
    main()
