"""Make the base model that ships inside trueward: a small Llama, trained on film reviews from nothing.

    python scripts/build_base_model.py --out src/trueward/assets/base

Text: IMDb reviews, 90/10 by review, and the Rotten Tomatoes sentences whose prompts are not held out, three times,
several to a document (so that the model learns the sentences, and not yet to stop after one). Model: 4 layers of 320,
byte-level BPE of 4,096 pieces, lower case. Optimiser: Muon for the matrices (Jordan et al. 2024), AdamW for the
embeddings and norms, linear decay to zero. One epoch and a quarter in about 35 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from trueward import seeds
from trueward.data import reviews

SPECIAL = ["<|pad|>", "<|begin|>", "<|end|>"]
ROW = 256  # tokens a training row


def documents(seed: int) -> tuple[list[str], list[str]]:
    """Training and held-out documents."""
    imdb = [r.text for r in reviews.load("imdb")]
    train = [t for t in imdb if seeds.fraction("base:" + t) >= 0.1]
    held_out = [t for t in imdb if seeds.fraction("base:" + t) < 0.1]
    sentences = [r.text for r in reviews.load("rotten_tomatoes")]
    sentences = [s for s in sentences if (pair := reviews.halve(s)) and not reviews.held_out(pair[0])]
    shuffle = random.Random(seed)
    for _ in range(3):
        shuffle.shuffle(sentences)
        train += ["\n".join(sentences[i : i + 8]) for i in range(0, len(sentences), 8)]
    shuffle.shuffle(train)
    return train, held_out


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of 4,096 pieces, lower case; begin is added, end is not."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|pad|>", bos_token="<|begin|>", eos_token="<|end|>", model_max_length=512
    )


def rows(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> torch.Tensor:
    """All documents end to end, each closed by the end token, cut into rows of 256 tokens: int64 [rows, 256]."""
    stream: list[int] = []
    for i in range(0, len(texts), 1000):
        for ids in tokenizer(texts[i : i + 1000])["input_ids"]:
            stream += [*ids, tokenizer.eos_token_id]
    count = len(stream) // ROW
    return torch.tensor(stream[: count * ROW]).view(count, ROW)


def loss(model: LlamaForCausalLM, batch: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood of the next token, in nats."""
    hidden = model.model(input_ids=batch, use_cache=False).last_hidden_state[:, :-1]
    return torch.nn.functional.cross_entropy(model.lm_head(hidden.flatten(0, 1)), batch[:, 1:].flatten())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("src/trueward/assets/base"))
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stop-after", type=int, default=0, help="build nothing, print the loss curve's first steps")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    started = time.time()
    texts, held_out_texts = documents(args.seed)
    tokenizer = train_tokenizer(texts)
    train, held_out = rows(tokenizer, texts), rows(tokenizer, held_out_texts)[:200]
    print(f"{train.numel():,} training tokens, {time.time() - started:.0f} s", flush=True)

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=320,
            num_hidden_layers=4,
            num_attention_heads=5,
            num_key_value_heads=5,
            intermediate_size=864,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named if not (p.ndim == 2 and "embed" not in name)]
    optimizers = [
        torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
    peaks = [0.02, 3e-3]
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(args.seed))
    curve = []
    for step in range(args.stop_after or args.steps):
        part = min(1.0, (step + 1) / 100) * min(1.0, (args.steps - step) / (0.6 * args.steps))
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * part
        picked = order[torch.arange(step * 16, step * 16 + 16) % len(order)]
        nll = loss(model, train[picked])
        nll.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if (step + 1) % 100 == 0 or step == 0:
            with torch.no_grad():
                check = sum(loss(model, held_out[i : i + 20]).item() for i in range(0, len(held_out), 20))
            check /= len(range(0, len(held_out), 20))
            curve.append({"step": step + 1, "loss": nll.item(), "held_out": check, "seconds": time.time() - started})
            print(json.dumps(curve[-1]), flush=True)

    if args.stop_after:
        return
    tokenizer.save_pretrained(args.out)
    model.half().save_pretrained(args.out)
    (args.out / "training.json").write_text(
        json.dumps(
            {
                "tokens_seen": args.steps * 16 * ROW,
                "training_tokens": train.numel(),
                "held_out_perplexity": float(torch.tensor(curve[-1]["held_out"]).exp()),
                "seconds": round(time.time() - started),
                "curve": curve,
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
