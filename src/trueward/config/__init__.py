"""Recipes: every setting, and how a recipe is read. Imports no torch.

A recipe is a TOML file that says only how it differs from the defaults; `--set section.key=value` goes on top.
"""

from trueward.config.engine import EngineConfig
from trueward.config.evaluation_judge import EvaluationJudgeConfig, without_keys
from trueward.config.judge import JudgeConfig
from trueward.config.lora import LoraConfig
from trueward.config.policy import (
    KINDS,
    BestOfNConfig,
    CriticConfig,
    DpoConfig,
    GroupConfig,
    PolicyConfig,
    RelabelConfig,
)
from trueward.config.ray import RayConfig
from trueward.config.reading import (
    as_toml,
    canonical,
    changes_no_result,
    explain,
    explain_option,
    put,
    read,
    resolve,
    shipped,
    variant,
)
from trueward.config.reward import SHAPING, ComparisonsConfig, RewardConfig, RewardPartConfig
from trueward.config.runtime import JudgeCallsConfig, RuntimeConfig
from trueward.config.schema import DataConfig, EvaluationConfig, ModelConfig, Recipe, SamplerConfig
from trueward.config.section import Section
from trueward.config.supervised import SftConfig, SupervisedConfig
from trueward.config.unused import notes, set_keys, unused

__all__ = [
    "KINDS",
    "SHAPING",
    "BestOfNConfig",
    "ComparisonsConfig",
    "CriticConfig",
    "DataConfig",
    "DpoConfig",
    "EngineConfig",
    "EvaluationConfig",
    "EvaluationJudgeConfig",
    "GroupConfig",
    "JudgeCallsConfig",
    "JudgeConfig",
    "LoraConfig",
    "ModelConfig",
    "PolicyConfig",
    "RayConfig",
    "Recipe",
    "RelabelConfig",
    "RewardConfig",
    "RewardPartConfig",
    "RuntimeConfig",
    "SamplerConfig",
    "Section",
    "SftConfig",
    "SupervisedConfig",
    "as_toml",
    "canonical",
    "changes_no_result",
    "explain",
    "explain_option",
    "notes",
    "put",
    "read",
    "resolve",
    "set_keys",
    "shipped",
    "unused",
    "variant",
    "without_keys",
]
