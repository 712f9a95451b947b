"""For every setting another valid value, what has to be set beside it, and the first stage that depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trueward import config

WEIGHTS = "model/model.safetensors"
MINE = """
from trueward.algorithms import grpo

def short(completions):
    return [1 / (1 + len(c.response)) for c in completions]

def plain(logprobs, sampler_logprobs, advantages, mask):
    return -logprobs * advantages, {"surprise": -logprobs}

class SLOW:
    steps, start = grpo.steps, grpo.start

    def train(config, setup, state):
        yield from grpo.train(config.model_copy(update={"learning_rate": config.options.get("rate", 0.001)}), setup, state)
"""
"""A user's mine.py: a scorer, a policy loss and an algorithm."""


@dataclass(frozen=True)
class Change:
    """A value, the first stage whose digest it changes, and a file whose contents it changes.

    `also` is set in the run that it's compared with, too. In values {folder} is where the test's inputs lie.
    """

    value: str
    stage: str
    file: str
    also: tuple[str, ...] = ()


ENDING = ("sampler.max_new_tokens=24", "sft.epochs=0.4", "comparisons.count=120")  # most answers end, not all
FROM_FILE = ("comparisons.source=file", "comparisons.path={folder}/people.jsonl")
OWN = ("reward.model={folder}/reward", "evaluation.truths=[]")  # what text of one's own asks for
TALKING = ("reward.model={folder}/talking", "evaluation.truths=[]")
GRPO, RLOO, DPO = ("policy.kind=grpo",), ("policy.kind=rloo",), ("policy.kind=dpo",)
ONLINE = (*DPO, "policy.dpo.online=true")
BEST = ("policy.best_of_n.n=3", "policy.best_of_n.prompts=24")
DISTILLED, CHOSEN = ("policy.kind=sft_on_best", *BEST), ("policy.kind=best_of_n", *BEST)
HACKED = (  # the truth is minus the proxy, so it falls as surely as the proxy rises
    "policy.kind=rloo",
    "evaluation.truths=['model:{folder}/against']",
    "policy.learning_rate=0.01",
    "policy.batch_size=64",
    "policy.steps=12",
    "evaluation.step_prompts=64",
)
ALIKE = (*GRPO, "policy.group.size=2", "sampler.temperature=0.2", "sampler.max_new_tokens=2")  # groups of equal answers
MEMBERS = ("reward.members=2", "reward.resample=true")
RELABELLED = ("policy.relabel.every=1", "policy.relabel.comparisons=20")
BEHIND = ("sampler.engine.sync_every=3",)
ADAPTED = ("lora.rank=4",)
DROPPING = ("policy.group.kl=k2", "policy.group.drop_equal_groups=true")
# In settings, braces of TOML stand twice: each is a format in which {folder} is filled in.
RLVR = ("reward.kind=verifier", "reward.verifier=constraints", "reward.options={{max_words=5}}")
OWN_SCORER = ("reward.kind=verifier", "reward.verifier=trueward.scorers.mix:length")
MIX = ("reward.kind=mix", 'reward.parts=[{{scorer="length"}}]')
GATE = '{{scorer="verifier:constraints",gate=true,options={{max_words=5}}}}'
GATED = ("reward.kind=mix", f'reward.parts=[{{{{scorer="length"}}}},{GATE}]')
GYM = ("data.prompts=reasoning-gym:spell_backward", "data.max_prompt_tokens=30", "data.task={{size=60}}")
TRUTH = ('evaluation.truths=["verifier:constraints"]', 'evaluation.options={{"verifier:constraints"={{max_words=5}}}}')
# A judge that runs here.
JUDGED = ("comparisons.source=judge", "judge.model=trueward:tiny", 'judge.choices=["warm","dull"]',
          'judge.question="{{prompt}}{{response}} {{principle}}"', 'judge.principles=["it is","the film"]')  # fmt: skip
RATED = ("reward.kind=judge", "judge.model=trueward:tiny", 'judge.ratings=["dull","warm"]',
         'judge.rating="{{prompt}}{{response}} {{principle}}"', 'judge.principles=["it is","the film"]')  # fmt: skip
LABELS = "comparisons/comparisons.jsonl"
CHANGES = {
    "seed": Change("1", "sft", f"sft/{WEIGHTS}"),
    "model.base": Change("{folder}/base", "prepare", f"sft/{WEIGHTS}"),
    "model.dtype": Change("bfloat16", "sft", f"sft/{WEIGHTS}"),
    "data.demonstrations": Change("{folder}/shown.jsonl", "prepare", "prepare/demonstrations.jsonl", OWN),
    "data.prompts": Change("{folder}/prompts.jsonl", "prepare", "prepare/prompts.jsonl"),
    "data.held_out": Change("0.3", "prepare", "prepare/prompts_held_out.jsonl"),
    "data.max_prompt_tokens": Change("4", "prepare", "prepare/prompts.jsonl"),
    "data.max_response_tokens": Change("6", "prepare", "prepare/demonstrations.jsonl"),
    "data.truncation": Change("right", "prepare", "prepare/demonstrations.jsonl", ("data.max_response_tokens=6",)),
    "data.instruction": Change("say {{prompt}}", "prepare", "prepare/prompts.jsonl", ("model.base={folder}/chatty",)),
    "data.task": Change("{{size=50}}", "prepare", "prepare/prompts.jsonl", GYM),
    "sft.model": Change("{folder}/base", "sft", f"sft/{WEIGHTS}"),
    "sft.epochs": Change("0.05", "sft", "sft/metrics.jsonl"),
    "sft.batch_size": Change("32", "sft", "sft/metrics.jsonl"),
    "sft.learning_rate": Change("0.02", "sft", f"sft/{WEIGHTS}"),
    "sft.warmup": Change("0.5", "sft", f"sft/{WEIGHTS}"),
    "sft.weight_decay": Change("0.5", "sft", f"sft/{WEIGHTS}"),
    "sft.max_grad_norm": Change("0.01", "sft", f"sft/{WEIGHTS}"),
    "sft.trainable_layers": Change("1", "sft", f"sft/{WEIGHTS}"),
    "comparisons.source": Change(
        "file", "comparisons", "comparisons/comparisons.jsonl", ("comparisons.path={folder}/people.jsonl",)
    ),
    "comparisons.path": Change("{folder}/others.jsonl", "comparisons", "comparisons/comparisons.jsonl", FROM_FILE),
    "comparisons.count": Change("40", "comparisons", "comparisons/comparisons.jsonl"),
    "comparisons.annotator": Change("b", "comparisons", "comparisons/comparisons.jsonl", ("comparisons.count=400",)),
    "comparisons.agreement": Change("0.9", "comparisons", "comparisons/comparisons.jsonl"),
    "comparisons.tie_width": Change("1.0", "comparisons", "comparisons/comparisons.jsonl"),
    "comparisons.length_bias": Change("2", "comparisons", "comparisons/comparisons.jsonl"),
    "comparisons.unfinished": Change("drop", "comparisons", LABELS, ENDING),
    "reward.start": Change("probe", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.layers": Change("1", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.head_learning_rate": Change("0.01", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.trainable_layers": Change("1", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.normalize": Change("false", "reward_model", "reward_model/model/config.json"),
    "reward.model": Change("{folder}/reward", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.template": Change("plain", "reward_model", "reward_model/model/config.json", TALKING),
    "reward.epochs": Change("2", "reward_model", "reward_model/metrics.jsonl"),
    "reward.batch_size": Change("8", "reward_model", "reward_model/metrics.jsonl"),
    "reward.learning_rate": Change("0.01", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.warmup": Change("1", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.weight_decay": Change("0.5", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.max_grad_norm": Change("0.001", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.learning_curve": Change("false", "reward_model", "reward_model/report.json"),
    "reward.probe": Change("0", "reward_model", "reward_model/report.json"),
    "reward.held_out": Change("0.4", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.members": Change("2", "reward_model", "policy/metrics.jsonl"),
    "reward.cross_check": Change("true", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.resample": Change("true", "reward_model", f"reward_model/{WEIGHTS}"),
    "reward.combine": Change("worst", "reward_model", "policy/rollouts.jsonl.gz", MEMBERS),
    "reward.uncertainty": Change("3", "reward_model", f"policy/{WEIGHTS}", (*MEMBERS, "reward.combine=uncertainty")),
    "reward.clip": Change("0.1", "policy", f"policy/{WEIGHTS}"),
    "reward.shaping": Change("sigmoid", "policy", f"policy/{WEIGHTS}"),
    "reward.references": Change("2", "policy", f"policy/{WEIGHTS}", ("reward.shaping=sigmoid",)),
    "reward.length_penalty": Change("0.5", "policy", f"policy/{WEIGHTS}"),
    "policy.relabel.every": Change("1", "policy", f"policy/{WEIGHTS}"),
    "policy.relabel.comparisons": Change("40", "policy", "policy/relabel.jsonl", RELABELLED),
    "reward.kind": Change("verifier", "reward", f"policy/{WEIGHTS}", RLVR[1:]),
    "reward.judge_mode": Change("pairwise", "reward", "reward/scale.json", (*RATED, *JUDGED[2:])),
    "reward.verifier": Change("mine:short", "reward", f"policy/{WEIGHTS}", OWN_SCORER),
    "reward.options": Change("{{max_words=6}}", "reward", f"policy/{WEIGHTS}", RLVR),
    "reward.parts": Change('[{{scorer="length",weight=-1.0}}]', "reward", f"policy/{WEIGHTS}", MIX),
    "reward.floor": Change("-9.0", "reward", f"policy/{WEIGHTS}", GATED),
    "judge.model": Change("{folder}/base", "comparisons", LABELS, JUDGED),
    "judge.principles": Change('["it is"]', "comparisons", LABELS, JUDGED),
    "judge.draw": Change("all", "comparisons", LABELS, JUDGED),
    "judge.question": Change("{{prompt}}{{response}} so {{principle}}", "comparisons", LABELS, JUDGED),
    "judge.choices": Change('["lovely","dull"]', "comparisons", LABELS, JUDGED),
    "judge.rating": Change("{{prompt}}{{response}} so {{principle}}", "reward", "reward/scale.json", RATED),
    "judge.ratings": Change('["dull","quite","warm"]', "reward", "reward/scale.json", RATED),
    "judge.clamp": Change("0.49", "comparisons", LABELS, JUDGED),
    "policy.kind": Change("rloo", "policy", f"policy/{WEIGHTS}"),
    "policy.options": Change("{{rate=0.01}}", "policy", f"policy/{WEIGHTS}", ("policy.kind=mine:SLOW",)),
    "policy.loss": Change("mine:plain", "policy", f"policy/{WEIGHTS}"),
    "policy.steps": Change("2", "policy", "policy/metrics.jsonl"),
    "policy.batch_size": Change("8", "policy", "policy/rollouts.jsonl.gz"),
    "policy.kl_coef": Change("0.5", "policy", f"policy/{WEIGHTS}"),
    "policy.target_kl": Change("1.0", "policy", f"policy/{WEIGHTS}"),
    "policy.learning_rate": Change("0.004", "policy", f"policy/{WEIGHTS}"),
    "policy.value_learning_rate": Change("0.01", "policy", f"policy/{WEIGHTS}"),
    "policy.warmup": Change("1", "policy", f"policy/{WEIGHTS}"),
    "policy.decay": Change("false", "policy", f"policy/{WEIGHTS}"),
    "policy.epochs": Change("1", "policy", f"policy/{WEIGHTS}"),
    "policy.minibatches": Change("2", "policy", f"policy/{WEIGHTS}"),
    "policy.clip": Change("0.01", "policy", f"policy/{WEIGHTS}"),
    "policy.dual_clip": Change("1.0001", "policy", f"policy/{WEIGHTS}"),
    "policy.importance_sampling_cap": Change("1", "policy", f"policy/{WEIGHTS}", BEHIND),
    "policy.value_clip": Change("0.01", "policy", "policy/metrics.jsonl"),
    "policy.discount": Change("0.5", "policy", f"policy/{WEIGHTS}"),
    "policy.gae_lambda": Change("0.5", "policy", f"policy/{WEIGHTS}"),
    "policy.whiten_advantages": Change("false", "policy", f"policy/{WEIGHTS}"),
    "policy.missing_eos_penalty": Change("0", "policy", f"policy/{WEIGHTS}"),
    "policy.max_grad_norm": Change("0.01", "policy", f"policy/{WEIGHTS}"),
    "policy.ptx_coef": Change("0.5", "policy", f"policy/{WEIGHTS}"),
    "policy.trainable_layers": Change("1", "policy", f"policy/{WEIGHTS}"),
    "policy.critic.trunk": Change("shared", "policy", f"policy/{WEIGHTS}"),
    "policy.critic.coef": Change("2.0", "policy", f"policy/{WEIGHTS}", ("policy.critic.trunk=shared",)),
    "policy.critic.start": Change("zero", "policy", f"policy/{WEIGHTS}"),
    "policy.critic.warmup_steps": Change("1", "policy", f"policy/{WEIGHTS}"),
    "policy.critic.gae_lambda": Change("0.2", "policy", f"policy/{WEIGHTS}"),
    "policy.critic.adaptive_lambda": Change("0.2", "policy", f"policy/{WEIGHTS}"),
    "policy.group.preset": Change("dr_grpo", "policy", f"policy/{WEIGHTS}", GRPO),
    "policy.group.size": Change("4", "policy", "policy/rollouts.jsonl.gz", GRPO),
    "policy.group.std": Change("population", "policy", f"policy/{WEIGHTS}", GRPO),
    "policy.group.kl": Change("k2", "policy", f"policy/{WEIGHTS}", GRPO),
    "policy.group.reducer": Change("sequence", "policy", f"policy/{WEIGHTS}", GRPO),
    "policy.group.ratio": Change("sequence", "policy", f"policy/{WEIGHTS}", GRPO),
    "policy.group.clip_high": Change("0.001", "policy", f"policy/{WEIGHTS}", GRPO),
    "policy.group.drop_equal_groups": Change("true", "policy", f"policy/{WEIGHTS}", (*ALIKE, "policy.group.kl=k2")),
    "policy.group.refill": Change("2", "policy", "policy/rollouts.jsonl.gz", (*ALIKE, *DROPPING)),
    "policy.group.overlong_tokens": Change("6", "policy", f"policy/{WEIGHTS}", GRPO),
    "policy.dpo.learning_rate": Change("0.003", "policy", f"policy/{WEIGHTS}", DPO),
    "policy.dpo.loss": Change("ipo", "policy", f"policy/{WEIGHTS}", DPO),
    "policy.dpo.label_smoothing": Change("0.2", "policy", f"policy/{WEIGHTS}", DPO),
    "policy.dpo.simpo_beta": Change("1", "policy", f"policy/{WEIGHTS}", (*DPO, "policy.dpo.loss=simpo")),
    "policy.dpo.simpo_margin": Change("0.1", "policy", f"policy/{WEIGHTS}", (*DPO, "policy.dpo.loss=simpo")),
    "policy.dpo.online": Change("true", "policy", f"policy/{WEIGHTS}", DPO),
    "policy.dpo.labels": Change("hard", "policy", f"policy/{WEIGHTS}", ONLINE),
    "policy.best_of_n.n": Change("2", "policy", "policy/chosen.jsonl", DISTILLED),
    "policy.best_of_n.prompts": Change("16", "policy", "policy/chosen.jsonl", DISTILLED),
    "lora.rank": Change("4", "sft", f"sft/{WEIGHTS}"),
    "lora.alpha": Change("8", "sft", f"sft/{WEIGHTS}", ADAPTED),
    "lora.base": Change("nf4", "sft", f"sft/{WEIGHTS}", ADAPTED),
    "lora.targets": Change('["q_proj"]', "sft", f"sft/{WEIGHTS}", ADAPTED),
    "sampler.temperature": Change("0.7", "sft", "sft/reference.jsonl"),
    "sampler.max_new_tokens": Change("6", "sft", "sft/reference.jsonl"),
    "sampler.engine.sync_every": Change("2", "policy", f"policy/{WEIGHTS}"),
    "sampler.engine.quantize": Change("int8", "policy", f"policy/{WEIGHTS}", ("policy.importance_sampling_cap=2",)),
    "sampler.engine.max_staleness": Change("1", "policy", f"policy/{WEIGHTS}", ("policy.importance_sampling_cap=2",)),
    "evaluation.truths": Change('["a"]', "policy", "policy/evaluations.jsonl"),
    "evaluation.options": Change(
        '{{"verifier:constraints"={{max_words=7}}}}', "policy", "policy/evaluations.jsonl", TRUTH
    ),
    "evaluation.final_prompts": Change("8", "evaluation", "evaluation/policies.json"),
    "evaluation.every": Change("2", "policy", "policy/evaluations.jsonl"),
    "evaluation.step_prompts": Change("8", "policy", "policy/evaluations.jsonl"),
    "evaluation.stop_when": Change("truth falls", "policy", "policy/metrics.jsonl", HACKED),
    "evaluation.control": Change(
        "unmoved", "control", "report/report.json", ("evaluation.step_prompts=24", "evaluation.final_prompts=24")
    ),
}
# The same settings under other kinds of policy, and other values of theirs.
AGAIN = [
    *(
        (name, Change(value, "policy", f"policy/{WEIGHTS}", GRPO))
        for name, value in (
            ("policy.steps", "2"),
            ("policy.batch_size", "8"),
            ("policy.kl_coef", "0.5"),
            ("policy.learning_rate", "0.004"),
            ("policy.warmup", "1"),
            ("policy.decay", "false"),
            ("policy.epochs", "1"),
            ("policy.minibatches", "2"),
            ("policy.clip", "0.01"),
            ("policy.dual_clip", "1.0001"),
            ("policy.ptx_coef", "0.5"),
            ("policy.missing_eos_penalty", "0"),
            ("policy.max_grad_norm", "0.01"),
            ("policy.group.std", "sample"),
            ("policy.group.kl", "k3"),
            ("policy.group.kl", "k3-weighted"),
            ("policy.group.reducer", "constant"),
            ("policy.group.ratio", "weight"),
        )
    ),
    ("policy.importance_sampling_cap", Change("1", "policy", f"policy/{WEIGHTS}", (*GRPO, *BEHIND))),
    ("sampler.engine.sync_every", Change("2", "policy", f"policy/{WEIGHTS}", GRPO)),
    (
        "sampler.engine.quantize",
        Change("int8", "policy", f"policy/{WEIGHTS}", (*GRPO, "policy.importance_sampling_cap=2")),
    ),
    ("policy.kl_coef", Change("0.5", "policy", f"policy/{WEIGHTS}", (*GRPO, "policy.group.kl=k3"))),
    ("policy.group.clip_high", Change("0.001", "policy", f"policy/{WEIGHTS}", (*GRPO, "policy.group.ratio=weight"))),
    ("policy.group.std", Change("population", "policy", f"policy/{WEIGHTS}", RLOO)),
    *(
        (name, Change(value, "policy", f"policy/{WEIGHTS}", DPO))
        for name, value in (
            ("policy.steps", "2"),
            ("policy.batch_size", "8"),
            ("policy.kl_coef", "0.5"),
            ("policy.warmup", "1"),
            ("policy.decay", "false"),
            ("policy.max_grad_norm", "0.01"),
            ("policy.dpo.loss", "simpo"),
        )
    ),
    ("policy.dpo.loss", Change("robust", "policy", f"policy/{WEIGHTS}", (*DPO, "policy.dpo.label_smoothing=0.2"))),
    *(
        (name, Change(value, "policy", f"policy/{WEIGHTS}", ONLINE))
        for name, value in (
            ("policy.steps", "2"),
            ("policy.batch_size", "8"),
            ("policy.kl_coef", "0.5"),
            ("policy.warmup", "1"),
            ("policy.decay", "false"),
            ("policy.missing_eos_penalty", "0"),
            ("policy.max_grad_norm", "0.01"),
            ("policy.dpo.learning_rate", "0.003"),
            ("policy.dpo.loss", "ipo"),
            ("policy.dpo.loss", "simpo"),
            ("policy.dpo.label_smoothing", "0.2"),
        )
    ),
    ("reward.epochs", Change("0", "reward_model", f"reward_model/{WEIGHTS}", ("reward.start=probe",))),
    ("reward.combine", Change("uncertainty", "reward_model", f"policy/{WEIGHTS}", MEMBERS)),
    ("reward.combine", Change("weights", "reward_model", f"reward_model/{WEIGHTS}", MEMBERS)),
    *(
        (name, Change(value, "policy", f"policy/{WEIGHTS}", kind))
        for kind in (GRPO, ONLINE)
        for name, value in (("reward.clip", "0.1"), ("reward.length_penalty", "0.5"), ("policy.relabel.every", "1"))
    ),
    ("reward.length_penalty", Change("0.5", "policy", "policy/chosen.jsonl", DISTILLED)),
    ("reward.length_penalty", Change("0.5", "policy", "evaluation/policy.jsonl", CHOSEN)),
    ("comparisons.source", Change("demonstrations", "comparisons", "comparisons/comparisons.jsonl")),
    ("policy.missing_eos_penalty", Change("9", "policy", "policy/chosen.jsonl", DISTILLED)),
    ("reward.kind", Change("mix", "reward", f"policy/{WEIGHTS}", MIX[1:])),
    ("reward.options", Change("{{max_words=6}}", "reward", f"policy/{WEIGHTS}", (*RLVR, *GRPO))),
    ("policy.best_of_n.n", Change("8", "policy", "evaluation/policy.jsonl", CHOSEN)),
    ("policy.missing_eos_penalty", Change("9", "policy", "evaluation/policy.jsonl", CHOSEN)),
]
ELSEWHERE = (  # each has a test of its own below
    "data.tolerate",  # in tests/data/test_tolerance.py
    "evaluation.judge",  # in test_judge_truths.py, where there is a service
    "evaluation.judge_calls",
    "evaluation.proxy_is_truth",  # in test_proxy_truth.py: it is a leave, and no result depends on it
    "evaluation.guards",  # in test_guards.py, where there is a suite
    "evaluation.guard_every",
    "evaluation.guard_items",
    "evaluation.guard_stops",
    "evaluation.guard_minutes",
    "evaluation.least_fall",  # in test_run_verdict.py: it needs a truth that surely rises and falls
    "sft.turns",  # in tests/algorithms/test_sft.py: it needs conversations
    "data.columns",  # in tests/data/test_recipe_options.py
    "data.roles",
    "data.order",
    "data.contradictions",
    "format",  # has one value
    "sampler.engine.kind",  # in test_vllm_run.py, where there is a vLLM
    "sampler.engine.address",
    "sampler.engine.directory",
    "sampler.engine.gpu_memory_utilization",
    "sampler.engine.timeout",
    "name",
    "description",
    "lora.save",  # in tests/pipeline/test_lora.py
    "sampler.engine.max_num_seqs",
    "runtime.device",
    "runtime.threads",
    "runtime.micro_batch_tokens",
    "runtime.checkpoint_seconds",
    # in tests/pipeline/test_people.py, where there are people to ask
    "evaluation.final_pairs",
    "evaluation.step_pairs",
    "runtime.wait_for_people",
    "runtime.tracking",  # in tests/tracking
    "runtime.checkpointing",  # in tests/models/test_checkpointing.py
    "runtime.attention",  # in tests/models/fast/test_flash.py
    "runtime.shard",  # in tests/parallel/test_sharded.py
    "runtime.ray.ranks",  # in tests/launch
    "runtime.ray.samplers",
    "runtime.ray.scorers",
    "runtime.ray.placement",
    "runtime.ray.cpus",
    "runtime.ray.max_restarts",
    "runtime.compile",  # in tests/models/fast/test_compiled.py
    # in tests/pipeline/test_judge.py and tests/scorers/judge, where there is a service
    "judge.endpoint",
    "judge.reasons",
    "judge.temperature",
    "judge.logprobs",
    "judge.certainty",
    "judge.max_failed",
    "judge.check",
    "runtime.judge.key",
    "runtime.judge.concurrency",
    "runtime.judge.retries",
    "runtime.judge.timeout",
    "runtime.judge.cache",
    "runtime.judge.price_input",
    "runtime.judge.price_output",
    "runtime.judge.cap",
)


def fields(section: Any = config.Recipe, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting there is, by walking the schema."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, config.Section):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field
