"""PPO's value network, started from the reward model or the policy."""

from __future__ import annotations

from trueward.config import CriticConfig, LoraConfig
from trueward.models import heads
from trueward.models.derived import scalar_head, trainable
from trueward.models.frozen_layers import ValueHead
from trueward.models.network import Network
from trueward.models.vocabulary import embeddings
from trueward.scorers.ensemble import Proxy
from trueward.scorers.scorer import Scale
from trueward.seeds import seed_for
from trueward.training.critic import Critic


def value_network(
    config: CriticConfig,
    policy: Network,
    reference: Network,
    proxy: Proxy | None,
    lora: LoraConfig | None,
    seed: int,
) -> Critic:
    """The reward model's network (an ensemble's first), if it reads the same tokens.

    Else, and with `policy.critic.start = "zero"`, the SFT policy's with a head of zeros. With `trunk = "shared"`, a head on the
    policy's own network. `ValueError` if the policy's own network can't be shared.
    """
    sd, is_shared, own_seed = 1.0, config.trunk == "shared", seed_for(seed, "lora", "value")
    if is_shared and not heads.has_plain_head(policy.model):
        raise ValueError(
            f'policy.critic.trunk = "shared": a value head needs the states that the logits are read from, and with the '
            f'family {policy.model.config.model_type!r} they can\'t be had; use "own"'
        )
    if proxy is not None:
        first = proxy.first
        if not (is_shared or reads_the_same_tokens(first.network, policy)):
            return Critic(scalar_head(reference, lora, own_seed), Scale(0.0, 1.0))
        if config.start == "reward_model" and not is_shared:
            return Critic(trainable(first.network, lora, own_seed), first.scale)
        sd = first.scale.sd
    if is_shared:
        return Critic(Network(ValueHead(policy.model), policy.tokenizer), Scale(0.0, sd), policy.model)
    return Critic(scalar_head(reference, lora, own_seed), Scale(0.0, sd))


def reads_the_same_tokens(reward: Network, policy: Network) -> bool:
    """Whether a reward model can be a value network: same vocabulary, as long a context, and a head for every token."""
    vocabulary = policy.tokenizer.get_vocab()
    same = reward.tokenizer.get_vocab() == vocabulary and reward.context >= policy.context
    rows = embeddings(reward.model)
    return same and hasattr(reward.model, "score") and (rows is None or max(vocabulary.values()) < rows)
