"""Recipes: every setting, and how a recipe is read. Imports no torch.

A recipe is a TOML file that says only how it differs from the defaults; `--set section.key=value` goes on top.
"""

from trueward.config.judge import Judge
from trueward.config.lora import Lora
from trueward.config.policy import BestOfN, Critic, Dpo, Group, Policy, Relabel
from trueward.config.reading import canonical, changes_no_result, explain, put, read, resolve, shipped, variant
from trueward.config.reward import SHAPING, Comparisons, Part, Reward
from trueward.config.runtime import Calls, Runtime
from trueward.config.schema import Data, Evaluation, Model, Recipe, Sampler
from trueward.config.section import Section
from trueward.config.supervised import Sft, Supervised

__all__ = [
    "SHAPING",
    "BestOfN",
    "Calls",
    "Comparisons",
    "Critic",
    "Data",
    "Dpo",
    "Evaluation",
    "Group",
    "Judge",
    "Lora",
    "Model",
    "Part",
    "Policy",
    "Recipe",
    "Relabel",
    "Reward",
    "Runtime",
    "Sampler",
    "Section",
    "Sft",
    "Supervised",
    "canonical",
    "changes_no_result",
    "explain",
    "put",
    "read",
    "resolve",
    "shipped",
    "variant",
]
