"""trueward: RLHF that measures the truth and steers by it.

    import trueward as tw

    sft = tw.sft("trueward:base", demonstrations)
    pairs = tw.compare(sft, prompts, annotator=my_annotator)
    reward = tw.fit_reward_model(sft, pairs)
    policy = tw.optimize(sft, reward, prompts, kind="ppo", kl_coef=0.1, truths={"truth": my_scorer})
    print(tw.evaluate(policy, held_out, against=sft, scorers={"truth": my_scorer}))

    run = tw.run("reviews", {"policy.kl_coef": 0.2})

Names are loaded when they are first used, so that `import trueward` is instant and loads no torch. Functions that train set
torch's threads and deterministic kernels while they run and put them back; they aren't thread-safe.
"""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from trueward.api.audit import Audit, audit
    from trueward.api.audit_reward import RewardAudit, audit_reward
    from trueward.api.compare import ComparisonSet, compare
    from trueward.api.evaluate import HeadToHead, evaluate
    from trueward.api.learned_reward import LearnedReward
    from trueward.api.optimize import OptimizedPolicy, optimize
    from trueward.api.policy import Policy, load_policy
    from trueward.api.reward import fit_reward_model, load_reward_model
    from trueward.api.run import Run, run
    from trueward.api.several import Doctor, Frontier, Sweep, doctor, frontier, sweep
    from trueward.api.sft import SupervisedPolicy, sft
    from trueward.records import Comparison, Completion, Demonstration, Message, Prompt, Score

PLACES = {
    "api.audit": ("Audit", "audit"),
    "api.audit_reward": ("RewardAudit", "audit_reward"),
    "api.compare": ("ComparisonSet", "compare"),
    "api.evaluate": ("HeadToHead", "evaluate"),
    "api.learned_reward": ("LearnedReward",),
    "api.optimize": ("OptimizedPolicy", "optimize"),
    "api.policy": ("Policy", "load_policy"),
    "api.reward": ("fit_reward_model", "load_reward_model"),
    "api.run": ("Run", "run"),
    "api.several": ("Doctor", "Frontier", "Sweep", "doctor", "frontier", "sweep"),
    "api.sft": ("SupervisedPolicy", "sft"),
    "records": ("Comparison", "Completion", "Demonstration", "Message", "Prompt", "Score"),
}
"""Where each public name is."""
MODULES = {name: module for module, names in PLACES.items() for name in names}

__all__ = [
    "Audit",
    "Comparison",
    "ComparisonSet",
    "Completion",
    "Demonstration",
    "Doctor",
    "Frontier",
    "HeadToHead",
    "LearnedReward",
    "Message",
    "OptimizedPolicy",
    "Policy",
    "Prompt",
    "RewardAudit",
    "Run",
    "Score",
    "SupervisedPolicy",
    "Sweep",
    "__version__",
    "audit",
    "audit_reward",
    "compare",
    "doctor",
    "evaluate",
    "fit_reward_model",
    "frontier",
    "load_policy",
    "load_reward_model",
    "optimize",
    "run",
    "sft",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name == "studio":  # tw.studio.Client
        return importlib.import_module("trueward.studio")
    if name not in MODULES:
        raise AttributeError(f"module 'trueward' has no attribute {name!r}")
    with warnings.catch_warnings():  # transformers' bars ask for ipywidgets in a notebook; ours don't
        warnings.filterwarnings("ignore", message="IProgress not found")
        value = getattr(importlib.import_module(f"trueward.{MODULES[name]}"), name)
    globals()[name] = value  # the next time it is there
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
