"""The rungs between prepare and report: each is a function from artifacts to files in its own directory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward import driver
from trueward.algorithms import best_of_n
from trueward.algorithms import sft as imitate
from trueward.artifacts import Artifact, write_json
from trueward.data import comparisons as compared
from trueward.data import jsonl, snapshots
from trueward.data.collate import Collator
from trueward.instruments.gauge import what_moved
from trueward.models import bases, loading
from trueward.models.schedule import generator, seed_for
from trueward.records import Comparison, Completion, line
from trueward.scorers import foreign, simulated
from trueward.scorers.ensemble import put_together, scale_of
from trueward.scorers.scorer import Scored, Scorer, scores
from trueward.workflow import labelling, rewarding
from trueward.workflow.behaviour import compare_with_demonstrations
from trueward.workflow.context import REFERENCE, Context, read_completions, read_prompts
from trueward.workflow.examined import examine, split, told, write_page
from trueward.workflow.fitting import fit_members, save
from trueward.workflow.judging import final_fall
from trueward.workflow.measuring import by_n, evaluated_on, gauge, pay

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
        policy = context.learner(policy, "sft")
        state = imitate.start(config, policy)
        with context.tracker(work) as tracker:
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
                tracker=tracker,
            )
        policy = bases.whole(policy)  # the reference of all that follows, and what their adapters stand on
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
    """Comparisons: people's, from a file; of two SFT answers to each prompt, by simulated annotators or a judge; of behaviour
    with one of them."""
    config = context.recipe.comparisons
    if config.source == "file" or config.source.startswith(snapshots.PREFIX):
        return _from_file(context, sft, work)
    if config.source == "demonstrations":
        return compare_with_demonstrations(context, prepared, sft, work)
    pairs = _pairs(context, prepared, sft)
    if config.source == "judge":
        return labelling.write(context, prepared, pairs, work)
    seed = context.recipe.seed
    utility = simulated.annotator(prepared.path / "annotators", config.annotator, config.length_bias)
    reference = scores(utility, read_completions(sft.path / REFERENCE)).reshape(-1, 2)
    temperature = simulated.temperature_for(config.agreement, reference[:, 0] - reference[:, 1])
    utilities = scores(utility, [side for pair in pairs for side in pair]).reshape(-1, 2)
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


def _pairs(context: Context, prepared: Artifact, sft: Artifact) -> list[tuple[Completion, Completion]]:
    """Two answers of the SFT policy to each of comparisons.count prompts; more than there are prompts: round again."""
    seed, count = context.recipe.seed, context.recipe.comparisons.count
    prompts = read_prompts(prepared.path / "prompts.jsonl")
    order = torch.randperm(len(prompts), generator=generator(seed, "compared prompts")).tolist()
    twice = [prompts[order[i % len(order)]] for i in range(count) for _ in range(2)]
    policy = context.policy(sft.model)
    answers = context.sample_aloud("comparisons", policy, twice, generator(seed, "comparisons")).completions
    return list(zip(answers[::2], answers[1::2], strict=True))


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
        networks = [loading.reward(config.model, context.device, config.template)]
        if cut := foreign.left_out(networks[0], reference):
            summary["left_out"] = cut
        proxy = put_together(config, networks, reference, runtime.micro_batch_tokens)
    else:
        assert comparisons is not None
        rows = [Comparison.model_validate(r) for _, r in jsonl.read(comparisons.path / "comparisons.jsonl")]
        train, held_out = split(rows, config.held_out)
        networks = fit_members(context, sft, train, work, seed, context.reporter, partial(context.tracker, work))
        proxy = put_together(config, networks, reference, runtime.micro_batch_tokens)
        summary = {
            "comparisons": len(train),
            "held_out": len(held_out),
            **examine(proxy, held_out),
            **{f"train_{k}": v for k, v in examine(proxy, train[: len(held_out)]).items() if k in ("accuracy", "nll")},
            **told(context, prepared, sft, comparisons, proxy, train, held_out, reference, work),
        }
    save(config, proxy, networks, reference, work, work)
    measured = proxy.scale if config.normalize else scale_of(proxy, reference)
    spread = Scored.of(proxy, reference).parts.get("member_sd")
    summary |= {
        "mean": round(proxy.scale.mean, 6),
        "sd": round(proxy.scale.sd, 6),
        "raw_mean": round(measured.mean, 6),
        "raw_sd": round(measured.sd, 6),
        "members": len(networks),
        "member_sd": None if spread is None else round(float(spread.mean()), 5),
    }
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
    proxy = rewarding.load(context, reward, policy)
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
            paid = pay(context, sft, proxy, reference)

            def see(found: best_of_n.Drawn, paid: Scorer = paid) -> None:
                own = found.score if paid is proxy else torch.as_tensor(scores(proxy, found.completions))
                drawn.append(replace(found, score=own.view_as(found.score)))

            chooser = best_of_n.sampler(n, paid, context.sample, penalty, see)
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
        "fall": final_fall(context.recipe, policy, rows, answers),
    }
