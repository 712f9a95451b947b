"""Rollouts and scores that are shared out, as one of several processes: `python shared_rollouts.py RANK WORLD FOLDER`.

Writes what this process was given in the end, and how much of it was its own work, into the folder. One process alone
takes its own engine and scorer as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import group
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trueward.batches import Rollout
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, tokenizer
from trueward.parallel.fabric import Fabric
from trueward.records import Completion, Prompt, Score
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine, RolloutEngine
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.shared import SharedEngine
from trueward.scorers.scorer import Scorer
from trueward.scorers.shared import SharedScorer

WORDS = ["the", "a", "film", "story", "new", "old"]
PROMPTS = [
    Prompt(text=t) for t in ("the film", "a", "the film", "old story", "a new film", "the", "new", "the old story")
]
COUNTS = (0, 1, 2, 5, 8)  # of prompts: none, fewer than processes, an odd number, some for each


class CountingEngine(LocalEngine):
    """Notes which prompts it was asked, call by call."""

    def __init__(self, params: SamplingParams, sync_every: int = 1) -> None:
        super().__init__(params, sync_every)
        self.calls: list[list[str]] = []

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        self.calls.append([p.text for p in prompts])
        return super().sample(prompts, draws)


class CountingScorer:
    """All that a score can hold; no number for the third answer. Notes how many answers it was given, call by call."""

    def __init__(self, error: float = 0.0) -> None:
        self.error, self.deterministic = error, False
        self.calls: list[int] = []

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        self.calls.append(len(completions))
        return [self._score(c) for c in completions]

    def _score(self, completion: Completion) -> Score:
        if completion.response == "answer 2":
            return Score(score=math.nan, note="no reply")
        worth = len(completion.response) / 7 + self.error
        return Score(score=worth, parts={"unshaped": worth / 3, "member_sd": math.inf}, cost=1e-5, note="“good” \udc80")


def llama(pad: str | None = None) -> Network:
    torch.manual_seed(0)
    made = tokenizer(WORDS, 48)
    if pad is not None:  # not the token 0, as in many tokenizers
        made.pad_token = pad
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": made.pad_token_id}
    config = LlamaConfig(vocab_size=len(made), max_position_embeddings=48, initializer_range=0.2, **sizes, **ids)
    return Network(LlamaForCausalLM(config).eval(), made)


def bigrams() -> Network:
    model = TabularPolicy(len(WORDS) + 3, 1, 48)
    torch.nn.init.normal_(model.table, generator=torch.Generator().manual_seed(2))
    return Network(model, tokenizer(WORDS, 48))


def plain(rollout: Rollout) -> dict[str, Any]:
    """To the last bit: a float32 as float64 comes back from JSON as it was."""
    assert rollout.tokens.ids.dtype == torch.long
    assert rollout.logprobs.dtype == torch.float32
    return {
        "ids": rollout.tokens.ids.tolist(),
        "prompt_lengths": rollout.tokens.prompt_lengths.tolist(),
        "response_lengths": rollout.tokens.response_lengths.tolist(),
        "logprobs": rollout.logprobs.tolist(),
        "shape": list(rollout.logprobs.shape),
        "completions": [c.model_dump(mode="json") for c in rollout.completions],
        "version": rollout.version,
    }


def sampled(fabric: Fabric, network: Network, max_num_seqs: int) -> dict[str, Any]:
    """Rollouts of each number of prompts, from weights that were published at step 3 and have moved since."""
    own = CountingEngine(SamplingParams(0.9, max_new_tokens=9, max_num_seqs=max_num_seqs), sync_every=3)
    engine: RolloutEngine = own if fabric.is_alone else SharedEngine(fabric, own)
    assert (engine.params, engine.sync_every) == (own.params, 3)
    assert list(engine.hold(network)) == ["sampler"]
    engine.publish(network, 3)
    with torch.no_grad():
        for p in network.model.parameters():
            p.add_(1.0)
    found = {str(n): plain(engine.sample(PROMPTS[:n], Draws.purpose(4, "rollout", n))) for n in COUNTS}
    return {"rollouts": found, "calls": own.calls}


def scored(fabric: Fabric, error: float) -> dict[str, Any]:
    """error: what this process's scorer adds, as a judge that is never the same twice."""
    own = CountingScorer(error * fabric.rank)
    scorer: Scorer = own if fabric.is_alone else SharedScorer(fabric, own)
    answers = [
        Completion(prompt=Prompt(text="the film"), response=f"answer {10**i if i != 2 else 2}") for i in range(8)
    ]
    return {"scores": {str(n): [repr(s) for s in scorer(answers[:n])] for n in COUNTS}, "calls": own.calls}


def compared(fabric: Fabric, error: float) -> dict[str, Any]:
    """Scorers that say they are deterministic, and differ by `error` times the rank; asked 52 times."""
    own = CountingScorer(error * fabric.rank)
    own.deterministic = True
    scorer = SharedScorer(fabric, own)
    answers = [Completion(prompt=Prompt(text="the film"), response=f"answer {i}") for i in range(3)]
    return {"line": refused(lambda: [scorer(answers) for _ in range(52)]), "calls": own.calls}


def refused(act: Callable[[], object]) -> str:
    """The message of a `ValueError`; empty if there was none."""
    try:
        act()
    except ValueError as error:
        return str(error)
    return ""


def main(fabric: Fabric, folder: Path) -> None:
    rank, world = fabric.rank, fabric.world
    found: dict[str, Any] = {
        "llama": sampled(fabric, llama(), 1),
        "llama, rows together": sampled(fabric, llama(), 128),
        "llama, another padding": sampled(fabric, llama("story"), 1),
        "tabular": sampled(fabric, bigrams(), 128),
        "scores": scored(fabric, 0.0),
        "scores of a scorer that varies": scored(fabric, 0.1),
    }
    if world > 1:
        found["compared"] = {str(error): compared(fabric, error) for error in (0.0, 1e-3, 0.7)}
        shares = [fabric.share(n).tolist() for n in range(2 * world + 1)]
        found["gathered"] = [fabric.gather_rows([{"row": i} for i in mine]) for mine in shares]
        found["no shares"] = {
            "one too many at the end": refused(lambda: fabric.gather_rows([0] * (1 + (rank == world - 1)))),
            "none at the beginning": refused(lambda: fabric.gather_rows([0] * (rank > 0))),
            "two too many": refused(lambda: fabric.gather_rows([0] * (3 if rank == 0 else 1))),
        }
        found["agree"] = {
            "all": refused(lambda: fabric.agree("the recipe", "the same ü \udc80")),
            "not the last": refused(lambda: fabric.agree("the recipe", str(rank == world - 1))),
            "not the first": refused(lambda: fabric.agree("the prompts", str(rank == 0))),
        }
    (folder / f"found-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    group.join(main)
