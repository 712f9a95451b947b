"""The rungs between prepare and report: each is a function from artifacts to files in its own directory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward.algorithms import best_of_n
from trueward.algorithms import sft as imitate
from trueward.artifacts import Artifact, write_json
from trueward.data import comparisons as compared
from trueward.data import jsonl, snapshots
from trueward.data.collate import Collator
from trueward.evaluation.evaluator import feature_shifts
from trueward.models import loading, shared_base
from trueward.pipeline import judge_labels, scorer_factory
from trueward.pipeline.demonstration_pairs import compare_with_demonstrations
from trueward.pipeline.env import REFERENCE, Env, read_completions, read_prompts
from trueward.pipeline.eval_setup import best_of_n_rows, build_evaluator, final_prompts, reward_scorer
from trueward.pipeline.reward_eval import evaluate_reward_model, reward_model_report, split_comparisons, write_page
from trueward.pipeline.reward_training import fit_members, save
from trueward.pipeline.run_verdict import final_fall
from trueward.records import Comparison, Completion, line
from trueward.scorers import hf_reward_model, simulated
from trueward.scorers.ensemble import build_proxy, scale_of
from trueward.scorers.scorer import ScoredBatch, Scorer, scores
from trueward.seeds import generator, seed_for
from trueward.training import driver

REFERENCE_PROMPTS = 384  # on so many prompts the SFT policy answers twice, to say what 0 and 1 are


def fine_tune(env: Env, prepared: Artifact, work: Path) -> dict[str, Any]:
    """SFT on the demonstrations; then the SFT policy's own answers, the scale of everything that follows."""
    config, runtime, seed = env.recipe.sft, env.recipe.runtime, env.recipe.seed
    shown = bool(env.recipe.data.demonstrations)
    demonstrations = read_completions(prepared.path / "demonstrations.jsonl") if shown else []
    held_out = read_completions(prepared.path / "demonstrations_held_out.jsonl") if shown else []
    policy = env.policy(config.model or env.recipe.model.base)
    before = after = imitate.held_out_nll(policy, held_out, runtime.micro_batch_tokens) if held_out else None
    if not config.model:
        policy = env.trainable(policy, "sft")
        state = imitate.start(config, policy)
        with env.tracker(work) as tracker:
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
                progress=env.progress,
                checkpoint_seconds=runtime.checkpoint_seconds,
                tracker=tracker,
            )
        policy = shared_base.merge_adapter(
            policy
        )  # the reference of all that follows, and what their adapters stand on
        after = imitate.held_out_nll(policy, held_out, runtime.micro_batch_tokens)
    loading.save(policy, work / "model")
    prompts = read_prompts(prepared.path / "prompts.jsonl")
    picked = torch.randperm(len(prompts), generator=generator(seed, "reference prompts"))[:REFERENCE_PROMPTS]
    twice = [prompts[i] for i in picked.tolist() for _ in range(2)]
    answers = env.sample_with_progress("sft: its own answers", policy, twice, generator(seed, "reference"))
    jsonl.write(work / REFERENCE, [line(c) for c in answers.completions])
    return {
        "demonstrations": 0 if config.model else len(demonstrations),
        "held_out_nll_before": before,
        "held_out_nll_after": after,
        "parameters": loading.parameters(policy.model),
    }


def compare(env: Env, prepared: Artifact, sft: Artifact, work: Path) -> dict[str, Any]:
    """Comparisons: people's, from a file; of two SFT answers to each prompt, by simulated annotators or a judge; of behaviour
    with one of them."""
    config = env.recipe.comparisons
    if config.source == "file" or config.source.startswith(snapshots.PREFIX):
        return _from_file(env, sft, work)
    if config.source == "demonstrations":
        return compare_with_demonstrations(env, prepared, sft, work)
    pairs = _pairs(env, prepared, sft)
    if config.source == "judge":
        return judge_labels.write_comparisons(env, prepared, pairs, work)
    seed = env.recipe.seed
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


def _pairs(env: Env, prepared: Artifact, sft: Artifact) -> list[tuple[Completion, Completion]]:
    """Two answers of the SFT policy to each of comparisons.count prompts; more than there are prompts: round again."""
    seed, count = env.recipe.seed, env.recipe.comparisons.count
    prompts = read_prompts(prepared.path / "prompts.jsonl")
    order = torch.randperm(len(prompts), generator=generator(seed, "compared prompts")).tolist()
    twice = [prompts[order[i % len(order)]] for i in range(count) for _ in range(2)]
    policy = env.policy(sft.model)
    answers = env.sample_with_progress("comparisons", policy, twice, generator(seed, "comparisons")).completions
    return list(zip(answers[::2], answers[1::2], strict=True))


def _from_file(env: Env, sft: Artifact, work: Path) -> dict[str, Any]:
    config = env.recipe.comparisons
    name = config.source if config.source != "file" else config.path
    loaded = compared.read_all(snapshots.compared(config.source, config.path))
    policy = env.policy(sft.model)
    collator = Collator(policy.tokenizer, policy.context)
    data = env.recipe.data
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
    env: Env, prepared: Artifact, sft: Artifact, comparisons: Artifact | None, work: Path
) -> dict[str, Any]:
    """The proxy: Bradley–Terry on the comparisons, examined on unseen prompts, put on the SFT policy's scale."""
    config, runtime, seed = env.recipe.reward, env.recipe.runtime, env.recipe.seed
    reference = read_completions(sft.path / REFERENCE)
    summary: dict[str, Any] = {}
    if config.model:
        networks = [loading.reward(config.model, env.device, config.template)]
        if cut := hf_reward_model.left_out(networks[0], reference):
            summary["left_out"] = cut
        proxy = build_proxy(config, networks, reference, runtime.micro_batch_tokens)
    else:
        assert comparisons is not None
        rows = [Comparison.model_validate(r) for _, r in jsonl.read(comparisons.path / "comparisons.jsonl")]
        train, held_out = split_comparisons(rows, config.held_out)
        networks = fit_members(env, sft, train, work, seed, env.progress, partial(env.tracker, work))
        proxy = build_proxy(config, networks, reference, runtime.micro_batch_tokens)
        summary = {
            "comparisons": len(train),
            "held_out": len(held_out),
            **evaluate_reward_model(proxy, held_out),
            **{
                f"train_{k}": v
                for k, v in evaluate_reward_model(proxy, train[: len(held_out)]).items()
                if k in ("accuracy", "nll")
            },
            **reward_model_report(env, prepared, sft, comparisons, proxy, train, held_out, reference, work),
        }
    save(config, proxy, networks, reference, work, work)
    measured = proxy.scale if config.normalize else scale_of(proxy, reference)
    spread = ScoredBatch.of(proxy, reference).parts.get("member_sd")
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
        write_page(env, comparisons, summary, work)
    return summary


def evaluate(
    env: Env, prepared: Artifact, sft: Artifact, reward: Artifact, policy: Artifact, work: Path
) -> dict[str, Any]:
    """Base, SFT, the last policy and the best one side by side on held-out prompts, on fresh answers."""
    reference = env.policy(sft.model)
    proxy = scorer_factory.load(env, reward, policy)
    base = None if env.recipe.sft.model else env.policy(env.recipe.model.base)
    if base and len(base.tokenizer) != len(reference.tokenizer):
        base = None  # another vocabulary than the reference's: no KL between them, no perplexity
    instrument = replace(build_evaluator(env, prepared, sft, proxy, reference), base=base)
    prompts = final_prompts(env, prepared)
    places: dict[str, Path | str] = {"sft": sft.model, "policy": policy.model}
    if base:
        places = {"base": env.recipe.model.base, **places}
    has_best = (policy.path / "best").is_dir()
    last_is_best = has_best and policy.summary["best_step"] == policy.summary["steps"]
    if has_best and not last_is_best:
        places["best"] = policy.path / "best"
    env.progress.start("evaluation", len(places))
    policy_config = env.recipe.policy
    drawn: list[best_of_n.Candidates] = []
    rows, answers = {}, {}
    for done, (name, place) in enumerate(places.items(), 1):
        network = env.policy(place)
        measured = instrument
        if name == "policy" and policy_config.kind == "best_of_n":
            n, penalty = policy_config.best_of_n.n, policy_config.missing_eos_penalty
            paid = reward_scorer(env, sft, proxy, reference)

            def on_candidates(found: best_of_n.Candidates, paid: Scorer = paid) -> None:
                own = found.score if paid is proxy else torch.as_tensor(scores(proxy, found.completions))
                drawn.append(replace(found, score=own.view_as(found.score)))

            chooser = best_of_n.sampler(n, paid, env.sample, penalty, on_candidates)
            measured = replace(instrument, choose=chooser)
        found = measured.measure(network, prompts, "evaluation", name)
        if measured is not instrument:  # the network that wrote them is SFT's; the choice is what moved
            found.row.update(
                kl=round(best_of_n.kl(policy_config.best_of_n.n), 5), kl_se=None, kl_k1=None, kl_k1_se=None
            )
        rows[name], answers[name] = found.row, found.samples
        env.progress.at(done)
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
    curve = [row for each in drawn for row in best_of_n_rows(each, instrument.truths)]
    env.progress.end(f"{len(prompts)} held-out prompts")
    return {
        "policies": rows,
        "samples": shown,
        "best_of_n": curve,
        "feature_shift": feature_shifts(answers["policy"]),
        "fall": final_fall(env.recipe, policy, rows, answers),
    }
