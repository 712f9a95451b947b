"""The stage `reward_model`: the proxy, Bradley–Terry on the comparisons, evaluated on unseen prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from trueward import __version__
from trueward.artifacts import Artifact, write_json, write_text
from trueward.config import ComparisonsConfig, LoraConfig, RewardConfig, Section
from trueward.evaluation import reward_report
from trueward.evaluation.explained import explained_shares
from trueward.evaluation.reward_report import NoisyAnnotators
from trueward.models import loading
from trueward.pipeline.compared import Compared
from trueward.pipeline.cross_check import SecondReward, fit_second, halves, read_second, write_second
from trueward.pipeline.finished_pairs import unit_answers
from trueward.pipeline.head_start import HeadStart, settled
from trueward.pipeline.prepare import Prepared
from trueward.pipeline.reward_eval import evaluate_margins, evaluate_reward_model, learning_curve, split_comparisons
from trueward.pipeline.reward_probe import probe_figures
from trueward.pipeline.reward_training import FittedMembers, fit_members, write_members
from trueward.pipeline.sft import SftPolicy
from trueward.pipeline.stage import Stage, never
from trueward.pipeline.started_model import StartedModel
from trueward.records import Comparison, Completion
from trueward.reporting import report as page
from trueward.scorers import ensemble, hf_reward_model, simulated
from trueward.scorers.ensemble import Proxy, build_proxy, scale_of
from trueward.scorers.scorer import ScoredBatch
from trueward.training.env import Env
from trueward.training.journal import METRICS, Journal, read_log

Row = dict[str, Any]


@dataclass(frozen=True)
class FittedReward:
    """The proxy, frozen, in SDs under the SFT policy; and, until it is written, its members and report."""

    load: Callable[[], Proxy] = field(repr=False)
    summary: Row
    metrics: list[Row] = field(default_factory=list, repr=False)
    """The training metrics of the first member, by step."""
    members: FittedMembers | None = field(default=None, repr=False)
    page: Row | None = field(default=None, repr=False)
    config: RewardConfig = field(default_factory=RewardConfig, repr=False)
    answers: Sequence[Completion] = field(default=(), repr=False)
    second: SecondReward | None = field(default=None, repr=False)
    """Of the other half of the comparisons, with `reward.cross_check`."""

    @cached_property
    def proxy(self) -> Proxy:
        """The proxy, bit for bit as a later process reads it from disk."""
        proxy = self.load()
        proxy.freeze()
        return proxy


def fit_reward_model(
    *,
    prepared: Prepared,
    sft: SftPolicy,
    comparisons: Compared | None,
    seed: int,
    reward: RewardConfig,
    labels: ComparisonsConfig | None,
    lora: LoraConfig | None,
    env: Env,
    journal: Journal,
) -> FittedReward:
    """The proxy, fitted to comparisons or, with `reward.model`, loaded; put on the SFT policy's scale.

    labels: the settings of the comparisons; None if none were made.
    """
    if comparisons is None:
        return _ready(reward, sft, env) if env.fabric.leads else FittedReward(never, {})
    assert labels is not None
    train, held_out = split_comparisons(comparisons.rows, reward.held_out)
    others: list[Comparison] = []
    if reward.cross_check:
        train, others = halves(train, seed)
        env.progress.tell(
            f"reward.cross_check: the proxy learns from {len(train):,} comparisons; {len(others):,} of other prompts are for a "
            "second reward model"
        )
    start = settled(sft.policy, reward, train, env)
    fitted, head = start.config, start.head
    unit = unit_answers(labels, sft.answers)
    members = fit_members(sft.policy, train, unit, fitted, lora, seed, seed, journal, env, start=start)
    curve = (
        learning_curve(sft.policy, train, held_out, fitted, lora, seed, journal, env, start)
        if reward.learning_curve
        else []
    )
    proxy = members.proxy if members else None
    second: SecondReward | None = None
    if others:
        second = fit_second(sft.policy, proxy, others, held_out, unit, fitted, lora, seed, journal, env)
    if members is None or proxy is None:
        return FittedReward(never, {})  # another rank than 0, which reads what rank 0 has written
    examined = evaluate_reward_model(proxy, held_out)
    again = evaluate_reward_model(proxy, train[: len(held_out)])
    report = reward_report.report(
        proxy.raw,
        train,
        held_out,
        agreement=comparisons.summary["agreement"],
        annotators=_annotators(prepared, comparisons, labels),
        reference=unit,
    )
    whole = {"comparisons": len(train), **examined}
    probed = probe_figures(sft.policy, proxy, train, held_out, reward.probe, env)
    summary = {
        "comparisons": len(train),
        "held_out": len(held_out),
        **examined,
        **{f"train_{key}": again[key] for key in ("accuracy", "nll")},
        **report,
        **probed,
        "learning_curve": [*curve, whole] if curve else [],
        **_scale(proxy, reward, unit, sft.answers, len(members.networks)),
        **({"second": second.summary} if second else {}),
        **({"starts": starts_row(head, members.started, held_out)} if head else {}),
    }
    table = {
        "format": 2,
        "trueward": __version__,
        "name": "reward model",
        "recipe": {"seed": seed, "comparisons": _table(labels), "reward": _table(reward)},
        "seed": seed,
        "reward_model": {**summary, "agreement": comparisons.summary["agreement"]},
    }
    return FittedReward(
        partial(ensemble.as_read, proxy), summary, members.metrics[0], members, table, reward, unit, second
    )


def starts_row(head: HeadStart, started: Sequence[StartedModel], held_out: Sequence[Comparison]) -> list[Row]:
    """What each member started from and what was kept, with the closed form's own figures on the held-out comparisons."""
    return [
        {**model.row, **evaluate_margins(head.margins(model.head, held_out), held_out)}
        for model in started
        if model.head is not None
    ]


def _ready(reward: RewardConfig, sft: SftPolicy, env: Env) -> FittedReward:
    """A ready reward model (`reward.model`)."""
    answers = sft.answers
    network = loading.reward(reward.model, env.device, reward.template, env.dtype)
    too_long = hf_reward_model.too_long(network, answers)
    if too_long and network.context < sft.policy.context:
        raise ValueError(
            f"reward.model: {reward.model} reads {network.context} tokens at most, and {too_long} of the SFT policy's "
            f"{len(answers)} answers have more with their prompts; lower sampler.max_new_tokens, or give another model"
        )
    cut = hf_reward_model.left_out(network, answers)
    proxy = build_proxy(reward, [network], answers, env.micro_batch_tokens)
    summary = ({"left_out": cut} if cut else {}) | _scale(proxy, reward, answers, answers, 1)
    return FittedReward(
        partial(ensemble.as_read, proxy), summary, [], FittedMembers([network], proxy, [[]]), None, reward, answers
    )


def _annotators(prepared: Prepared, comparisons: Compared, labels: ComparisonsConfig) -> NoisyAnnotators | None:
    """The simulated annotators who chose; None if others did."""
    if comparisons.summary["source"] != "simulated" or labels.source != "simulated":
        return None
    utility = simulated.annotator(prepared.annotators, labels.annotator, labels.length_bias)
    return NoisyAnnotators(utility, comparisons.summary["temperature"], labels.tie_width)


def _scale(
    proxy: Proxy, reward: RewardConfig, unit: Sequence[Completion], answers: Sequence[Completion], members: int
) -> Row:
    """The scale, how far the members differ, and what of the scores endings and lengths explain.

    unit: those of the SFT policy's answers that the scale is taken from.
    """
    measured = proxy.scale if reward.normalize else scale_of(proxy, unit)
    scored = ScoredBatch.of(proxy, answers)
    spread = scored.parts.get("member_sd")
    return {
        "mean": round(proxy.scale.mean, 6),
        "sd": round(proxy.scale.sd, 6),
        "raw_mean": round(measured.mean, 6),
        "raw_sd": round(measured.sd, 6),
        **({"unit_answers": len(unit)} if len(unit) < len(answers) else {}),
        "members": members,
        "member_sd": None if spread is None else round(float(spread.mean()), 5),
        **explained_shares(scored.score, answers),
    }


def _table(section: Section) -> Row:
    return section.model_dump(mode="json", exclude_none=True)


def write(result: FittedReward, folder: Path) -> Row:
    """Write the result into the stage's directory; returns the summary for its manifest."""
    assert result.members is not None
    write_members(result.members, result.config, result.answers, folder)
    if result.second is not None:
        write_second(result.second, result.config, result.answers, folder)
    if result.page is not None:
        write_json(folder / "report.json", result.page)
        write_text(folder / "report.html", page.page(result.page))
    return result.summary


def read(artifact: Artifact, env: Env) -> FittedReward:
    """The result, from the stage's directory."""
    return FittedReward(
        partial(ensemble.load, artifact.path, env.device, env.shares, env.dtype),
        artifact.summary,
        read_log(artifact.path / METRICS),
        second=read_second(artifact.path, env),
    )


REWARD_MODEL = Stage("reward_model", fit_reward_model, write, read, version=3, together=True)
