"""What the frozen layers of a reward model make of the compared answers, kept where they are read more than once."""

from __future__ import annotations

from collections.abc import Sequence

from trueward.config import RewardConfig
from trueward.data.collate import Collator
from trueward.models import state_cache
from trueward.models.fast import packed
from trueward.models.network import Network
from trueward.models.state_cache import StateCache
from trueward.models.truncated import top_layers
from trueward.records import Comparison
from trueward.training.env import Env


def is_read_again(config: RewardConfig) -> bool:
    """Whether training reads an answer more than once: passes, members, parts of a learning curve, the head in closed form."""
    several = config.epochs > 1 or config.members > 1 or config.learning_curve or config.start == "probe"
    return config.trainable_layers > 0 and config.epochs > 0 and several


def frozen_states(
    network: Network, config: RewardConfig, comparisons: Sequence[Comparison], env: Env, room: int | None = None
) -> StateCache | None:
    """The states of all answers to compare; None where all layers learn, each answer is read once, or they can't be kept.

    network: with the reward model's layers, on the SFT policy's frozen weights. room: bytes at most; default: `ROOM`. It says
    what is kept or, if nothing is, why. All processes call it. `ValueError` for more layers that learn than there are.
    """
    below = top_layers(network.model, config.trainable_layers, "reward.trainable_layers").start
    if not below or not is_read_again(config):
        return None
    what = f"reward.trainable_layers: what the {below} frozen layers make of an answer"
    if not packed.covers(network.model):
        kind = network.model.config.model_type
        env.progress.tell(f"{what} is computed anew in every pass, since models of the family {kind!r} are not packed")
        return None
    answers = list(dict.fromkeys(side for row in comparisons for side in row.completions()))
    cache = StateCache(network.model, below, Collator(network.tokenizer, network.context).tokens(answers))
    size = f"{cache.size / 1e6:,.1f} MB of {len(answers):,} answers"
    room = state_cache.ROOM if room is None else room
    if cache.size > room:
        env.progress.tell(
            f"{what} is computed anew in every pass: {size} are more than the {room / 1e6:,.0f} MB kept at most"
        )
        return None
    env.progress.start("reward model: frozen layers", 1)
    cache.fill(env.micro_batch_tokens, env.fabric)
    env.progress.end(f"{len(answers):,} answers")
    env.progress.tell(f"{what} is kept: {size}")
    return cache
