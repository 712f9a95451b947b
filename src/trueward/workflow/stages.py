"""The rungs between prepare and report: each is a function from artifacts to files in its own directory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward import driver
from trueward.algorithms import best_of_n
from trueward.algorithms import reward_model as fit
from trueward.algorithms import sft as imitate
from trueward.artifacts import Artifact, write_json
from trueward.data import comparisons as compared
from trueward.data import jsonl, snapshots
from trueward.data.collate import Collator
from trueward.instruments.gauge import what_moved
from trueward.models import loading
from trueward.models.schedule import generator, seed_for
from trueward.records import Comparison, line
from trueward.scorers import reward_model, simulated
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale, fit_scale, scores
from trueward.workflow.context import REFERENCE, Context, read_completions, read_prompts
from trueward.workflow.examined import examine, split, told, write_page
from trueward.workflow.judging import final_fall
from trueward.workflow.measuring import by_n, evaluated_on, gauge

REFERENCE_PROMPTS = 384  # on so many prompts the SFT policy answers twice, to say what 0 and 1 are


def fine_tune(context: Context, prepared: Artifact, work: Path) -> dict[str, Any]:
    """SFT on the demonstrations; then the SFT policy's own answers, the scale of everything that follows."""
    config, runtime, seed = context.recipe.sft, context.recipe.runtime, context.recipe.seed
    shown = bool(context.recipe.data.demonstrations)
    demonstrations = read_completions(prepared.path / "demonstrations.jsonl") if shown else []
    held_out = read_completions(prepared.path / "demonstrations_held_out.jsonl") if shown else []
    policy = context.policy(config.model or context.recipe.model.base)
    before = after = imitate.held_out_nll(policy, held_out, runtime.micro_batch_tokens) if held_out else None
    if not config.model:
        state = imitate.start(config, policy)
        driver.drive(
            lambda: imitate.train(
                config,
                policy=policy,
                demonstrations=demonstrations,
                state=state,
                seed=seed,
                micro_batch_tokens=runtime.micro_batch_tokens,
            ),
            state=state,
            directory=work,
            total=imitate.steps(config, len(demonstrations)),
            what="sft",
            reporter=context.reporter,
            checkpoint_seconds=runtime.checkpoint_seconds,
        )
        after = imitate.held_out_nll(policy, held_out, runtime.micro_batch_tokens)
    loading.save(policy, work / "model")
    prompts = read_prompts(prepared.path / "prompts.jsonl")
    picked = torch.randperm(len(prompts), generator=generator(seed, "reference prompts"))[:REFERENCE_PROMPTS]
    twice = [prompts[i] for i in picked.tolist() for _ in range(2)]
    answers = context.sample_aloud("sft: its own answers", policy, twice, generator(seed, "reference"))
    jsonl.write(work / REFERENCE, [line(c) for c in answers.completions])
    return {
        "demonstrations": 0 if config.model else len(demonstrations),
        "held_out_nll_before": before,
        "held_out_nll_after": after,
        "parameters": loading.parameters(policy.model),
    }


def compare(context: Context, prepared: Artifact, sft: Artifact, work: Path) -> dict[str, Any]:
    """Comparisons: people's, from a file, or simulated ones of two SFT answers to each prompt."""
    config = context.recipe.comparisons
    if config.source != "simulated":
        return _from_file(context, sft, work)
    seed = context.recipe.seed
    utility = simulated.load(prepared.path / "annotators", config.annotator)
    reference = scores(utility, read_completions(sft.path / REFERENCE)).reshape(-1, 2)
    temperature = simulated.temperature_for(config.agreement, reference[:, 0] - reference[:, 1])
    prompts = read_prompts(prepared.path / "prompts.jsonl")
    order = torch.randperm(len(prompts), generator=generator(seed, "compared prompts")).tolist()
    chosen = [prompts[order[i % len(order)]] for i in range(config.count)]  # more comparisons than prompts: round again
    policy = context.policy(sft.model)
    twice = [p for p in chosen for _ in range(2)]
    answers = context.sample_aloud("comparisons", policy, twice, generator(seed, "comparisons")).completions
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    utilities = scores(utility, answers).reshape(-1, 2)
    draw = np.random.default_rng(seed_for(seed, "votes"))
    found, agreement = simulated.compare(pairs, utilities, temperature, config.tie_width, draw)
    jsonl.write(work / "comparisons.jsonl", [line(c) for c in found])
    left_out = [{"what": "comparisons", "reason": "the two answers were the same", "rows": len(pairs) - len(found)}]
    return {
        "comparisons": len(found),
        "source": "simulated",
        "agreement": round(agreement, 4),
        "temperature": round(temperature, 5),
        "ties": sum(c.probability == 0.5 for c in found),
        "left_out": [row for row in left_out if row["rows"]],
    }


def _from_file(context: Context, sft: Artifact, work: Path) -> dict[str, Any]:
    config = context.recipe.comparisons
    name = config.source if config.source != "file" else config.path
    loaded = compared.read_all(snapshots.compared(config.source, config.path))
    policy = context.policy(sft.model)
    collator = Collator(policy.tokenizer, policy.context)
    data = context.recipe.data
    kept, long = [], 0
    for comparison in loaded.rows:
        fits = True
        for side in comparison.completions():
            prompt = len(collator.prompt_ids(side.prompt))
            most = min(data.max_response_tokens, policy.context - prompt)
            response = len(collator.response_ids(side.response, side.finished))
            fits = fits and prompt <= data.max_prompt_tokens and response <= most
        kept += [comparison] if fits else []
        long += not fits
    if not kept:
        raise ValueError(
            f"{name}: none of its {len(loaded.rows)} comparisons fits "
            f"data.max_prompt_tokens = {data.max_prompt_tokens} and data.max_response_tokens = {data.max_response_tokens}"
        )
    jsonl.write(work / "comparisons.jsonl", [line(c) for c in kept])
    left_out = [{"what": "comparisons", "reason": reason, "rows": n} for reason, n in loaded.left_out.items()]
    if long:
        reason = "longer than data.max_prompt_tokens or data.max_response_tokens"
        left_out.append({"what": "comparisons", "reason": reason, "rows": long})
    agreement = compared.agreement(kept)
    return {
        "comparisons": len(kept),
        "source": Path(name).name,
        "agreement": None if agreement is None else round(agreement, 4),
        "temperature": None,
        "ties": sum(c.probability == 0.5 for c in kept),
        "left_out": left_out,
    }


def fit_reward_model(
    context: Context, prepared: Artifact, sft: Artifact, comparisons: Artifact | None, work: Path
) -> dict[str, Any]:
    """The proxy: Bradley–Terry on the comparisons, examined on unseen prompts, put on the SFT policy's scale."""
    config, runtime, seed = context.recipe.reward, context.recipe.runtime, context.recipe.seed
    reference = read_completions(sft.path / REFERENCE)
    summary: dict[str, Any] = {}
    if config.model:
        network = loading.reward(config.model, context.device)
    else:
        assert comparisons is not None
        rows = [Comparison.model_validate(r) for _, r in jsonl.read(comparisons.path / "comparisons.jsonl")]
        train, held_out = split(rows, config.held_out)
        network = loading.reward_from_policy(sft.model, context.device)
        state = fit.start(config, network)
        driver.drive(
            lambda: fit.train(
                config,
                network=network,
                comparisons=train,
                state=state,
                seed=seed,
                micro_batch_tokens=runtime.micro_batch_tokens,
            ),
            state=state,
            directory=work,
            total=fit.steps(config, len({c.prompt.id for c in train})),
            what="reward model",
            reporter=context.reporter,
            checkpoint_seconds=runtime.checkpoint_seconds,
        )
        raw = RewardModel(network, Scale(0.0, 1.0), runtime.micro_batch_tokens)
        summary = {
            "comparisons": len(train),
            "held_out": len(held_out),
            **examine(raw, held_out),
            **{f"train_{k}": v for k, v in examine(raw, train[: len(held_out)]).items() if k in ("accuracy", "nll")},
            **told(context, prepared, sft, comparisons, raw, train, held_out, reference, work),
        }
    raw = RewardModel(network, Scale(0.0, 1.0), runtime.micro_batch_tokens)
    scale = fit_scale(raw.raw(reference).reshape(-1, 2), "the reward model")
    RewardModel(network, scale).save(work / "model")
    summary = {**summary, "mean": round(scale.mean, 6), "sd": round(scale.sd, 6)}
    if comparisons is not None and not config.model:
        if summary["learning_curve"]:
            whole = {k: summary[k] for k in ("comparisons", "accuracy", "accuracy_low", "accuracy_high", "nll")}
            summary["learning_curve"].append(whole)
        write_page(context, comparisons, summary, work)
    return summary


def evaluate(
    context: Context, prepared: Artifact, sft: Artifact, reward: Artifact, policy: Artifact, work: Path
) -> dict[str, Any]:
    """Base, SFT, the last policy and the best one side by side on held-out prompts, on fresh answers."""
    reference = context.policy(sft.model)
    proxy = reward_model.load(reward.model, context.device)
    base = None if context.recipe.sft.model else context.policy(context.recipe.model.base)
    if base and len(base.tokenizer) != len(reference.tokenizer):
        base = None  # another vocabulary than the reference's: no KL between them, no perplexity
    instrument = replace(gauge(context, prepared, sft, proxy, reference), base=base)
    prompts = evaluated_on(context, prepared)
    places: dict[str, Path | str] = {"sft": sft.model, "policy": policy.model}
    if base:
        places = {"base": context.recipe.model.base, **places}
    has_best = (policy.path / "best").is_dir()
    last_is_best = has_best and policy.summary["best_step"] == policy.summary["steps"]
    if has_best and not last_is_best:
        places["best"] = policy.path / "best"
    context.reporter.start("evaluation", len(places))
    policy_config = context.recipe.policy
    drawn: list[best_of_n.Drawn] = []
    rows, answers = {}, {}
    for done, (name, place) in enumerate(places.items(), 1):
        network = context.policy(place)
        measured = instrument
        if name == "policy" and policy_config.kind == "best_of_n":
            n, penalty = policy_config.best_of_n.n, policy_config.missing_eos_penalty
            chooser = best_of_n.sampler(n, proxy, context.sample, penalty, drawn.append)
            measured = replace(instrument, choose=chooser)
        found = measured.measure(network, prompts, "evaluation", name)
        if measured is not instrument:  # the network that wrote them is SFT's; the choice is what moved
            found.row.update(
                kl=round(best_of_n.kl(policy_config.best_of_n.n), 5), kl_se=None, kl_k1=None, kl_k1_se=None
            )
        rows[name], answers[name] = found.row, found.samples
        context.reporter.at(done)
    if last_is_best:  # the same weights: one measurement, not two that differ by luck
        rows["best"], answers["best"] = rows["policy"], answers["policy"]
    shown = [
        {
            "prompt": str(prompt),
            "answers": {
                name: {key: samples[i][key] for key in ("response", "proxy", "truth", "finished")}
                for name, samples in answers.items()
            },
        }
        for i, prompt in enumerate(prompts[:10])
    ]
    write_json(work / "policies.json", rows)
    write_json(work / "samples.json", shown)
    for name, samples in answers.items():
        jsonl.write(work / f"{name}.jsonl", samples)
    curve = [row for each in drawn for row in by_n(each, instrument.truths)]
    context.reporter.end(f"{len(prompts)} held-out prompts")
    return {
        "policies": rows,
        "samples": shown,
        "best_of_n": curve,
        "moved": what_moved(answers["policy"]),
        "fall": final_fall(context.recipe.seed, policy, rows, answers),
    }
