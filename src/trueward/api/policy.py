"""A policy in Python: it answers, says how probable an answer is, and is saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError

from trueward import transfers
from trueward.batches import Rollout, Tokens
from trueward.data import given
from trueward.data.asked import asked
from trueward.data.collate import Collator
from trueward.models import heads, loading, precision, shared_base
from trueward.models.network import Network
from trueward.models.run_paths import model_path
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample


class Policy:
    """A causal language model with its tokenizer: it answers, says how probable an answer is, and is saved.

    Weights are read at first use.
    """

    def __init__(self, load: Callable[[], Network], name: str) -> None:
        """load: reads the weights, at first use. name: in tables and errors."""
        self._load, self.name = load, name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @cached_property
    def network(self) -> Network:
        """Model and tokenizer, as the stages take them."""
        return self._load()

    @property
    def model(self) -> Any:
        """The transformers model (`PreTrainedModel`), in evaluation mode."""
        return self.network.model

    @property
    def tokenizer(self) -> Any:
        """The transformers tokenizer."""
        return self.network.tokenizer

    def generate(
        self,
        prompts: Any,
        n: int = 1,
        *,
        temperature: float = 1.0,
        max_new_tokens: int = 48,
        seed: int = 0,
        system: str = "",
        plain: bool = False,
    ) -> Any:
        """Sample answers. The same seed gives the same answers.

        Args:
            prompts: One prompt or a list of them: strings, dicts (`{"messages": [...]}`) or `Prompt`s. Where the model has
                a chat template they go through it, a text as the user's message.
            n: Answers to each prompt.
            temperature: Of the sampling; 0 takes the likeliest token each time.
            max_new_tokens: Where an answer is cut, in tokens.
            seed: Of the draws.
            system: A system message in front of each prompt; needs a chat template.
            plain: Let the model go on with the texts, without its chat template.

        Returns:
            For one prompt its answer, a str, or with n > 1 a list of them. For a list of prompts a list with one of
            these for each.

        Raises:
            ValueError: For a prompt or a number that can't be used.
        """
        one = isinstance(prompts, str | Mapping | Prompt)
        asked_for = given.prompts([prompts] if one else prompts, "generate").rows
        asked_for = [self._asked(prompt, system, plain) for prompt in asked_for]
        answers = [c.response for c in self._sample(asked_for, n, temperature, max_new_tokens, seed).completions]
        rows = [answers[i : i + n] if n > 1 else answers[i] for i in range(0, len(answers), n)]
        return rows[0] if one else rows

    def _asked(self, prompt: Prompt, system: str, plain: bool) -> Prompt:
        """The prompt as the model is given it. `ValueError` if the chat template refuses it."""
        whole = asked(prompt, self.tokenizer, system, plain)
        try:
            Collator(self.tokenizer, self.network.context).prompt_ids(whole)
        except TemplateError as error:
            raise ValueError(f"{self.name}: the model's chat template refuses this conversation: {error}") from None
        return whole

    def _sample(self, prompts: Sequence[Prompt], n: int, temperature: float, max_new_tokens: int, seed: int) -> Rollout:
        if n < 1 or max_new_tokens < 1 or temperature < 0:
            raise ValueError("generate: expected n and max_new_tokens of at least 1, and temperature of at least 0")
        repeated = [p for p in prompts for _ in range(n)]
        how = SamplingParams(temperature, max_new_tokens, 128)
        return sample(self.network, repeated, how, Draws.purpose(seed, "generate"))

    @torch.no_grad()
    def logprob(self, prompt: Any, response: str, *, system: str = "", plain: bool = False) -> float:
        """How probable an answer is: log π(response | prompt), its end-of-sequence included.

        Args:
            prompt: A string, a dict or a `Prompt`, which go through the chat template as in `generate`.
            response: The answer, as text.
            system: A system message in front of the prompt; needs a chat template.
            plain: The answer goes on with the text, without the chat template.

        Returns:
            The sum over the answer's tokens, in nats, at temperature 1.
        """
        (parsed,) = given.prompts([prompt], "logprob").rows
        collator, parsed = Collator(self.tokenizer, self.network.context), self._asked(parsed, system, plain)
        tokens: Tokens = collator.tokens([Completion(prompt=parsed, response=response)]).to(self.network.device)
        (by_token,) = transfers.read([heads.read_logprobs(self.model, tokens, 1.0, 4096)])
        return float(np.sum(by_token[tokens.host.response_mask].double().numpy()))  # MPS has no float64

    def save(self, directory: str | Path) -> Path:
        """Write weights and tokenizer in the form that transformers loads; adapters are merged into the weights.

        Args:
            directory: Where to; it may be there if it is empty.

        Returns:
            The directory.

        Raises:
            ValueError: If something is there already.
        """
        path = Path(directory)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(f"{path}: exists; choose another directory or remove it")
        path.mkdir(parents=True, exist_ok=True)
        loading.save(shared_base.merge_adapter(self.network), path)
        return path


def load_policy(model: str | Path, seed: int = 0, device: str = "auto", dtype: str = "auto") -> Policy:
    """A policy by name, as every command takes it as MODEL. Weights are read at first use.

    Args:
        model: A run's name or directory (its tuned policy, or its SFT policy if there is no other yet), RUN/sft, a
            directory that transformers loads, a name on the Hugging Face hub, or a model that ships
            (`"trueward:base"`).
        seed: Of what the model lacks, if anything; a whole model needs none.
        device: `"auto"` (CUDA, else the CPU), `"cpu"`, `"cuda"`, `"cuda:1"` or `"mps"`.
        dtype: The precision of products: `"float32"`, `"bfloat16"`, or `"auto"` (what the model's run had; for a model that
            lies in no run bfloat16 on CUDA, else float32).

    Returns:
        The policy.

    Raises:
        ValueError: For a run that has no model yet; at first use, for a model that isn't there.
    """

    if dtype not in ("auto", *precision.DTYPES):
        raise ValueError(f"load_policy: dtype: expected auto, float32 or bfloat16, got {dtype!r}")

    def read() -> Network:
        place = loading.pick_device(device)
        network = loading.causal(model_path(str(model)), seed, place, precision.DTYPES.get(dtype))
        precision.keep(network.model.requires_grad_(False))
        return network

    return Policy(read, str(model))


def as_policy(model: Any) -> Policy:
    """A policy as it is, or the one that a name stands for."""
    if isinstance(model, Policy):
        return model
    if isinstance(model, str | Path):
        return load_policy(model)
    if hasattr(model, "policy") and isinstance(model.policy, Policy):
        return model.policy  # a run
    raise ValueError(f"expected a policy, a run or a model's name, got {type(model).__name__}")
