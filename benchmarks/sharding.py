"""What runtime.shard = "full" saves and costs: `python benchmarks/sharding.py [WORLD] [HIDDEN] [LAYERS]`; on the CPU, by fork.

A Llama with random weights learns by SFT for some steps, in WORLD processes (2), once with whole networks and once with parts.
For each: the resident memory of a process between two steps and its peak, above what it had before the model was made; seconds
a step; and what it takes to gather the whole weights, as every rollout needs them. Set MALLOC_MMAP_THRESHOLD_=131072, or glibc
keeps what was freed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from torch import distributed
from transformers import LlamaConfig, LlamaForCausalLM

from trueward.algorithms import sft
from trueward.config import SftConfig
from trueward.data import toy
from trueward.models.network import Network
from trueward.models.tiny import build
from trueward.parallel.fabric import Fabric
from trueward.records import Completion, Prompt
from trueward.training.setup import Supervised
from trueward.training.sharding import sharded

STEPS, ROWS = 5, 8
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> float:
    """MB of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def measure(fabric: Fabric, hidden: int, layers: int, is_sharded: bool) -> str:
    """One loop; its figures."""
    before = resident()
    _, tokenizer = build()
    settings = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=3 * hidden, num_hidden_layers=layers,
        num_attention_heads=8, num_key_value_heads=8, tie_word_embeddings=True, max_position_embeddings=64,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    network = Network(LlamaForCausalLM(settings).eval(), tokenizer)
    count = sum(p.numel() for p in network.model.parameters())
    rows = [Completion(prompt=Prompt(text=p), response=r, finished=True) for p, r in toy.reviews(STEPS * ROWS, 3)]
    setup, shards = sharded(
        Supervised(policy=network, demonstrations=rows, seed=1, micro_batch_tokens=4096, fabric=fabric),
        fabric,
        is_sharded,
    )
    config = SftConfig(batch_size=ROWS, epochs=1)
    state = sft.start(config, setup)
    peak, over = [resident()], threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, begun, between = [], time.monotonic(), 0.0
    for _ in shards.steps(sft.train(config, setup, state), lambda step: False):
        seconds.append(time.monotonic() - begun)
        between = resident()
        begun = time.monotonic()
    over.set()
    watcher.join()
    begun = time.monotonic()
    shards.gather()
    gathered = time.monotonic() - begun
    return (
        f"{'parts' if is_sharded else 'whole'}: {count / 1e6:.0f} million weights, {fabric.world} processes; between steps "
        f"{between - before:.0f} MB, peak {peak[0] - before:.0f} MB, a step {sorted(seconds)[len(seconds) // 2]:.2f} s, "
        f"gathering {gathered:.2f} s"
    )


def main() -> None:
    """Both, each in processes of its own."""
    given = [int(word) for word in sys.argv[1:]]
    world, hidden, layers = (given + [2, 768, 8][len(given) :])[:3]
    torch.set_num_threads(1)
    for is_sharded in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            ranks = []
            for rank in range(world):
                if process := os.fork():
                    ranks.append(process)
                    continue
                meeting = f"file://{folder}/meeting"
                distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
                said = measure(Fabric(rank, world), hidden, layers, is_sharded)
                distributed.destroy_process_group()
                if not rank:
                    print(said, flush=True)
                os._exit(0)
            for process in ranks:
                os.waitpid(process, 0)


if __name__ == "__main__":
    main()
