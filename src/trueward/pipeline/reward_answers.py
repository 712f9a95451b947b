"""The answers that a reward is tested on: those of the prompts' file, of a model, or the built-in ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trueward.data import given, loading
from trueward.data.asked import asked
from trueward.data.collate import Collator
from trueward.data.options import ReadOptions
from trueward.evaluation.reward_test import built_in
from trueward.evaluation.reward_test.answers import AnswerPool
from trueward.models import loading as models
from trueward.models.network import Network
from trueward.models.run_paths import model_path
from trueward.pipeline import sources
from trueward.pipeline.named_reward import NamedReward
from trueward.pipeline.records import ANSWERS, read_completions, read_prompts
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample
from trueward.scorers.scorer import Scorer
from trueward.scorers.verifiers.verifier import Verifier
from trueward.seeds import generator
from trueward.training.env import Env

COLUMNS = ("completion", "completions", "response", "responses", "output", "chosen", "rejected", "answers")
"""Columns of a prompt's row that hold answers, a text or a list of texts."""
DEFAULT_MODEL = "trueward:base"


@dataclass
class AnswerRequest:
    """Which prompts, and who answers them. model: "" is the default: only where the file holds no answers."""

    prompts: Any = None
    model: str = ""
    count: int = 64
    per_prompt: int = 2
    max_new_tokens: int = 48
    temperature: float = 1.0
    seed: int = 0
    notes: list[str] = field(default_factory=list)
    """What was left out or done otherwise, in words; filled while answers are gathered."""


def answers_for(request: AnswerRequest, reward: NamedReward, env: Env) -> AnswerPool:
    """The answers to test on. `ValueError` in one line if there are none, or fewer than two prompts."""
    prompts, written, source = _read(request, reward)
    prompts = _drawn(list({p.id: p for p in prompts}.values()), request)
    if isinstance(reward.scorer, Verifier):
        reward.scorer.check_keys(prompts, reward.name)
    own = [c for p in prompts for c in written.get(p.id, [])]
    if request.model or not own:
        own, source = _sampled(prompts, request, reward, env)
    keys = right_answers(reward.scorer, prompts)
    if keys:
        source += (
            ", and the right answer to each by its key"
            if isinstance(reward.scorer, Verifier)
            else ", and the answer keys"
        )
    return AnswerPool.of(sorted([*own, *keys], key=_by_prompt(prompts)), source)


def right_answers(scorer: Scorer, prompts: Sequence[Prompt]) -> list[Completion]:
    """An answer that is right, to each prompt with a key: the verifier's own, or the key as it stands."""
    right = scorer.right if isinstance(scorer, Verifier) else lambda key: key
    texts = [(p, right(p.answer)) for p in prompts if p.answer]
    return [Completion(prompt=p, response=text) for p, text in texts if text]


def _by_prompt(prompts: Sequence[Prompt]) -> Callable[[Completion], int]:
    place = {p.id: i for i, p in enumerate(prompts)}
    return lambda c: place[c.prompt.id]


def _read(request: AnswerRequest, reward: NamedReward) -> tuple[list[Prompt], dict[str, list[Completion]], str]:
    """The prompts, answers to them by the prompt's id, and where those come from."""
    how = ReadOptions(in_recipe=True, keep=True)
    data = request.prompts
    if data is None and reward.run is not None:
        return _of_run(reward.run)
    if data is None and reward.recipe is not None and (reward.recipe.data.prompts or reward.recipe.data.demonstrations):
        read = sources.read(reward.recipe, keep=True)
        return (
            read.prompts,
            _grouped([Completion(prompt=d.prompt, response=d.response) for d in read.demonstrations]),
            ("the demonstrations of the recipe"),
        )
    if data is None:
        if isinstance(reward.scorer, Verifier):
            raise ValueError(f"{reward.name}: a verifier is tested on prompts with answer keys: --prompts FILE")
        built = built_in.completions()
        return [c.prompt for c in built], _grouped(built), built_in.SOURCE
    if given.is_name(data):
        name = str(data)
        prompts = sources.named_prompts(name, how).prompts
        demonstrations = partial(loading.demonstrations, name, options=how)
    else:
        name, data = "prompts", list(data)
        prompts = given.prompts(data, name).rows
        demonstrations = partial(given.demonstrations, data, name)
    written = [Completion(prompt=p, response=text) for p in prompts for text in _columns(p)]
    if not any(p.answer for p in prompts) or not written:  # a key is no answer, and may be read as one
        written += _demonstrated(demonstrations, {p.id: p for p in prompts})
    return prompts, _grouped(written), f"the answers in {name}"


def _of_run(run: Path) -> tuple[list[Prompt], dict[str, list[Completion]], str]:
    """A run's held-out prompts; the SFT policy's answers, where they are kept."""
    file = run / "prepare" / "prompts_held_out.jsonl"
    if not file.is_file():
        raise ValueError(f"{run}: has no held-out prompts yet; give --prompts FILE")
    prompts = read_prompts(file)
    kept = run / "sft" / ANSWERS
    answers = read_completions(kept) if kept.is_file() else []
    if answers:
        return [c.prompt for c in answers], _grouped(answers), "the SFT policy's answers in the run"
    return prompts, {}, ""


def _demonstrated(read: Callable[[], Any], prompts: dict[str, Prompt]) -> list[Completion]:
    try:
        rows = read().rows
    except ValueError:  # prompts alone
        return []
    return [Completion(prompt=prompts[d.prompt.id], response=d.response) for d in rows if d.prompt.id in prompts]


def _columns(prompt: Prompt) -> list[str]:
    values = [prompt.columns.get(name) for name in COLUMNS]
    return [t for v in values for t in (v if isinstance(v, list) else [v]) if isinstance(t, str) and t.strip()]


def _grouped(answers: Sequence[Completion]) -> dict[str, list[Completion]]:
    groups: dict[str, list[Completion]] = {}
    for c in answers:
        groups.setdefault(c.prompt.id, []).append(c)
    return groups


def _drawn(prompts: list[Prompt], request: AnswerRequest) -> list[Prompt]:
    if len(prompts) <= request.count:
        return prompts
    order = torch.randperm(len(prompts), generator=generator(request.seed, "reward test prompts")).tolist()
    request.notes.append(f"{request.count:,} of {len(prompts):,} prompts, drawn by the seed")
    return [prompts[i] for i in sorted(order[: request.count])]


def _sampled(
    prompts: Sequence[Prompt], request: AnswerRequest, reward: NamedReward, env: Env
) -> tuple[list[Completion], str]:
    """A model's answers, with the prompts as they were given."""
    model = request.model or (str(reward.run / "sft") if reward.run is not None else DEFAULT_MODEL)
    network = models.causal(model_path(model), request.seed, env.device)
    pairs = [(p, asked_prompt(p, network)) for p in prompts]
    collator = Collator(network.tokenizer, network.context)
    room = network.context - request.max_new_tokens
    fitting = [(p, q) for p, q in pairs if len(collator.prompt_ids(q)) <= room]
    if len(fitting) < len(pairs):
        left = len(pairs) - len(fitting)
        request.notes.append(f"{left:,} prompts left out: too long for {model}, which reads {network.context:,} tokens")
    if not fitting:
        raise ValueError(f"no prompt leaves {model} room for {request.max_new_tokens} tokens; give --model another one")
    if not network.tokenizer.chat_template and any(p.messages for p in prompts):
        request.notes.append(f"{model} has no chat template: it was given conversations as plain text")
    each = [(p, q) for p, q in fitting for _ in range(request.per_prompt)]
    env.progress.start(f"answers of {model}", len(each))
    how = SamplingParams(request.temperature, request.max_new_tokens)
    draws = Draws.purpose(request.seed, "reward test")
    done = sample(network, [q for _, q in each], how, draws, env.progress.at).completions
    env.progress.end(f"{len(done):,} answers")
    answers = [c.model_copy(update={"prompt": p}) for (p, _), c in zip(each, done, strict=True)]
    return answers, f"{request.per_prompt} answer{'s'[: request.per_prompt != 1]} of {model} to each prompt"


def asked_prompt(prompt: Prompt, network: Network) -> Prompt:
    """The prompt as the model is given it: through its chat template, or as text where it has none."""
    if prompt.messages and not network.tokenizer.chat_template:
        return Prompt(text=f"{prompt}\nassistant:")
    return asked(prompt, network.tokenizer)
