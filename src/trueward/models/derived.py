"""Networks made from a policy: a copy to be trained, or its layers with a scalar head. The policy stays as it is."""

from __future__ import annotations

from copy import deepcopy

from trueward.config import LoraConfig
from trueward.models import lora, precision, shared_base, tabular, truncated
from trueward.models.network import Network


def trainable(network: Network, adapter: LoraConfig | None, seed: int, top: int = 0) -> Network:
    """The same weights, to be trained: all of them in a copy, or a fresh adapter (from `seed`) on the shared ones.

    top: the adapter stands in so many of the top layers alone; 0: in all. `ValueError` if there are fewer.
    """
    layers = truncated.top_layers(network.model, top, "sft.trainable_layers")
    if adapter is None:
        return Network(precision.masters(deepcopy(network.model).requires_grad_(True)), network.tokenizer)
    model = lora.clone_sharing_frozen(network.model)
    made = shared_base.adapted(Network(model, network.tokenizer, network.base), adapter, seed, layers)
    for parameter in lora.own_parameters(made.model).values():
        parameter.requires_grad_(True)
    return made


def scalar_head(network: Network, adapter: LoraConfig | None, seed: int, layers: int = 0, top: int = 0) -> Network:
    """The policy's layers with a scalar head of zeros, to be trained: where a reward model starts (every reward 0).

    layers: the lowest of them alone; 0: all. A table has no layers to take over: there it is a bag of words. top: an adapter
    stands in so many of the top ones of these alone; 0: in all. `ValueError` if there are fewer.
    """
    if network.model.config.model_type == "tabular" and adapter is not None:
        lora.refuse_table(network.model)
    shared = shared_scalar_head(network, layers)
    chosen = truncated.top_layers(shared.model, top, "reward.trainable_layers")
    if adapter is None:
        return Network(precision.masters(deepcopy(shared.model).requires_grad_(True)), network.tokenizer)
    return shared_base.adapted(shared, adapter, seed, chosen)


def shared_scalar_head(network: Network, layers: int = 0) -> Network:
    """As `scalar_head`, on the policy's own frozen weights, without an adapter: to be read, not to be trained."""
    model = network.model
    if model.config.model_type == "tabular":
        if layers:
            raise ValueError(f"reward.layers = {layers}: the lowest layers of the base, but a table has none")
        bag = tabular.BagOfWords(model.config.vocab_size, model.config.max_position_embeddings)
        return Network(bag.to(network.device).eval(), network.tokenizer)
    settings = deepcopy(model.config)
    settings.num_labels = 1
    made = lora.with_scalar_head(model, settings)
    if layers:
        truncated.keep_lowest(made, layers)
    return Network(made, network.tokenizer, network.base)
