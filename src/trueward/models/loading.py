"""Models and tokenizers from and to disk, in Hugging Face form, so that other tools load what a stage wrote.

Weights are loaded whole or not at all (models/whole.py), and no code in a model's directory is run. Tables (models/tabular.py)
are the exception: no other tool knows them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from trueward.models import (
    adapter_base,
    adapter_files,
    conventions,
    lora,
    nano,
    nf4,
    places,
    precision,
    reward_heads,
    run_precision,
    smollm2,
    tabular,
    tiny,
    tokenizer_class,
    truncated,
    vocabulary,
    whole,
)
from trueward.models.network import Network, context_length
from trueward.models.padding import separate_pad, separate_pad_token
from trueward.models.quiet import quiet

MEAN, SD = "trueward_mean", "trueward_sd"  # a reward model's scale, in its config.json
READS, OWN = "trueward_reads", "own"  # how it reads a completion: `own`, as it was trained here, or one of these
TEMPLATES = ("chat", "plain", "pair")
A_MODEL, A_REWARD = "a model", "a reward model"


@quiet()
def causal(name: str, seed: int, device: torch.device, dtype: torch.dtype | None = None) -> Network:
    """A causal language model by path, hub name, or one that ships, in float32, dropout off, padding a token of its own.

    dtype: of its products; by default those of the run that it lies in, else `auto`'s. `ValueError` in one line if there is no
    such model, or its files don't hold all of it and nothing else. On the device `meta` this is tried, and no weights are read.
    """
    dtype = dtype or run_precision.pick(name, device)
    torch.manual_seed(seed)  # tiny starts from random weights, an added token's embedding too
    if name == "trueward:tiny":
        model, tokenizer = tiny.build()
    elif name == "trueward:nano":
        model, tokenizer = nano.build()
    elif name == "trueward:smollm2":
        return causal(str(smollm2.directory()), seed, device, dtype)
    elif tabular.is_tabular(Path(name)):
        model, tokenizer = _load_table(name, tabular.TabularPolicy)
    elif adapter_base.find_adapter(Path(name)) == Path(name):
        return _merged(causal(adapter_base.base_of(Path(name)), seed, device, dtype), Path(name))
    else:
        place = places.shipped(name)
        loaded, tokenizer = _load(AutoModelForCausalLM, place, A_MODEL, on_meta=device.type == "meta")
        loaded.require_whole(place, A_MODEL)
        model = loaded.model
        if model._is_stateful:
            raise ValueError(
                f"{place}: models of the family {model.config.model_type!r} keep a state in place of keys and values, and the "
                "sampler can't go on from one; give a model with attention in every layer"
            )
        vocabulary.require_end(tokenizer, place)
        conventions.declare_ends(place, tokenizer, model.config)
        vocabulary.require_embedded(model, tokenizer, place)
        conventions.write_ends(model, tokenizer)
    separate_pad(model, tokenizer)
    precision.settle(model, dtype)
    return Network(model.to(device).eval(), tokenizer)


@quiet()
def tokenizer(name: str) -> tuple[PreTrainedTokenizerBase, int]:
    """The tokenizer and the context (in tokens) that `causal(name, ...)` has, without a model being made or weights read.

    (`trueward:smollm2` is converted from its package at the very first use.) An added padding token counts in
    `len(tokenizer)`. `ValueError` in one line if there is no such model.
    """
    if name == "trueward:tiny":
        tok, context = tiny.make_tokenizer(), tiny.CONTEXT
    elif name == "trueward:nano":
        tok, context = nano.make_tokenizer(), nano.CONTEXT
    elif name == "trueward:smollm2":
        return tokenizer(str(smollm2.directory()))
    elif tabular.is_tabular(Path(name)):
        with places.in_one_line(name, "a table"):
            tok, context = PreTrainedTokenizerFast.from_pretrained(name), tabular.context(Path(name))
    elif adapter_base.find_adapter(Path(name)) == Path(name):
        standing, context = tokenizer(adapter_base.base_of(Path(name)))
        tok = adapter_files.tokenizer(Path(name), standing)
        separate_pad_token(tok)
    else:
        place = places.shipped(name)
        places.require_model(place)
        with places.in_one_line(place, A_MODEL):
            tok = tokenizer_class.read(place)
            whole_config = places.read_config(place)
        config = whole_config.get_text_config()
        vocabulary.require_end(tok, place)
        conventions.declare_ends(place, tok, whole_config)
        separate_pad_token(tok)
        config.pad_token_id = tok.pad_token_id  # the positions of some models are counted from it
        context = context_length(config)
    return tok, context


@quiet()
def reward(path: str | Path, device: torch.device, template: str = "auto", dtype: torch.dtype | None = None) -> Network:
    """A reward model, ours or any other `AutoModelForSequenceClassification` with one label, by directory or hub name.

    Its head may have any of the names that other tools give it (models/reward_heads.py). One trained with other tools keeps its
    padding token, which its forward pass needs. `template`: how it reads a completion, `chat` (a conversation through its chat
    template), `plain` (prompt and response as one text, then end-of-sequence) or `pair` (as two texts, for encoders); `auto`
    takes the first that its tokenizer is made for. dtype and `ValueError`: as `causal`.
    """
    place, dtype = str(path), dtype or run_precision.pick(path, device)
    if tabular.is_tabular(Path(path)):
        model, tokenizer = _load_table(place, tabular.TabularScalar, tabular.BagOfWords)
        return Network(model.to(device).eval(), tokenizer)
    if adapter_base.find_adapter(Path(path)) == Path(path):
        standing = causal(adapter_base.base_of(Path(path)), 0, device, dtype)
        _round_base(standing, Path(path))
        network = adapted_reward(Path(path), standing)
        model, tokenizer = _merged_weights(network.model), network.tokenizer
    else:
        loaded, tokenizer = _load(AutoModelForSequenceClassification, place, A_REWARD, on_meta=device.type == "meta")
        with places.in_one_line(place, A_REWARD):
            reward_heads.settle(loaded, place)
        if (labels := loaded.model.config.num_labels) != 1 and not loaded.missing:
            raise ValueError(f"{place}: a reward model has 1 label, this one has {labels}")
        loaded.require_whole(place, A_REWARD)
        model = loaded.model
        conventions.declare_ends(place, tokenizer, model.config)
        vocabulary.require_embedded(model, tokenizer, place)
    config = model.config
    if template != "auto":
        setattr(config, READS, template)
    elif not hasattr(config, READS):
        setattr(config, READS, OWN if hasattr(config, SD) else _template(model, tokenizer))
    if getattr(config, READS) == "chat" and not tokenizer.chat_template:
        raise ValueError(f'{path}: reward.template = "chat", but its tokenizer has no chat template')
    if getattr(config, READS) == OWN or (config.pad_token_id is None and tokenizer.pad_token_id is None):
        separate_pad(model, tokenizer)
    elif config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    precision.settle(model, dtype)
    return Network(model.to(device).eval(), tokenizer)


def _merged(standing: Network, adapter: Path) -> Network:
    """A model with a saved adapter added into its weights, and the adapter's tokenizer, if it has one."""
    tokenizer = adapter_files.with_tokenizer(adapter, standing)
    _round_base(standing, adapter)
    lora.attach(standing.model, adapter, _base_digest(adapter, standing))
    return Network(_merged_weights(standing.model), tokenizer)


def _round_base(standing: Network, adapter: Path) -> None:
    """An adapter that learned on four bits stands on what four bits leave of its base."""
    if adapter_base.base_kept(adapter) == nf4.KIND and standing.device.type != "meta":
        nf4.round_weights(standing.model)


def _base_digest(adapter: Path, standing: Network) -> str:
    """That of the weights that an adapter stands on; none is needed to try whether a model fits."""
    if standing.device.type == "meta":
        return ""
    return standing.base.digest if standing.base else adapter_base.weights_digest(adapter_base.base_of(adapter))


def _merged_weights(model: Any) -> Any:
    return model if model.device.type == "meta" else lora.merged(model).requires_grad_(True)


def adapted_reward(place: Path, standing: Network) -> Network:
    """A reward model that was saved as an adapter on this policy, which is frozen and shared; the adapter isn't merged."""
    standing.model.requires_grad_(False)
    tokenizer = adapter_files.with_tokenizer(place, standing)
    folder = adapter_base.find_adapter(place)
    assert folder is not None
    with places.in_one_line(str(place), A_REWARD):
        model = lora.with_scalar_head(standing.model, adapter_files.config(place, folder, standing.model.config))
    truncated.keep_configured(model)
    lora.attach(model, folder, _base_digest(folder, standing))
    return Network(model, tokenizer, standing.base)


def _template(model: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    if tokenizer.chat_template:
        return "chat"
    between = tokenizer.num_special_tokens_to_add(pair=True) > tokenizer.num_special_tokens_to_add(pair=False)
    return "pair" if between and not hasattr(model, "score") else "plain"


@quiet()
def reward_from_policy(path: str | Path, device: torch.device, dtype: torch.dtype | None = None) -> Network:
    """The network of a policy with a scalar head of zeros: where a reward model starts (every reward 0, loss ln 2).

    A table has no network to take over: there it is a bag of words.
    """
    dtype = dtype or run_precision.pick(path, device)
    if tabular.is_tabular(Path(path)):
        table, tokenizer = _load_table(str(path), tabular.TabularPolicy)
        bag = tabular.BagOfWords(table.config.vocab_size, table.config.max_position_embeddings)
        return Network(bag.to(device).eval(), tokenizer)
    loaded, tokenizer = _load(AutoModelForSequenceClassification, str(path), A_MODEL, labels=1)
    loaded.missing.discard("score.weight")  # made here
    loaded.unexpected = {name for name in loaded.unexpected if not name.startswith(reward_heads.LANGUAGE)}
    loaded.require_whole(str(path), A_MODEL)
    model = loaded.model
    vocabulary.require_end(tokenizer, str(path))
    conventions.declare_ends(str(path), tokenizer, model.config)
    separate_pad(model, tokenizer)
    nn.init.zeros_(model.score.weight)
    precision.settle(model, dtype)
    return Network(model.to(device).eval(), tokenizer)


def _load_table(place: str, *kinds: type) -> tuple[Any, PreTrainedTokenizerBase]:
    with places.in_one_line(place, "a table"):
        model = tabular.load(Path(place))
        tokenizer = PreTrainedTokenizerFast.from_pretrained(place)
    if not isinstance(model, kinds):
        raise ValueError(
            f"{place}: expected a {' or '.join(k.__name__ for k in kinds)}, this is a {type(model).__name__}"
        )
    return model, tokenizer


def _load(
    auto: Any, place: str, kind: str, labels: int | None = None, on_meta: bool = False
) -> tuple[whole.LoadedWeights, PreTrainedTokenizerBase]:
    """A model with what did not fit, and its tokenizer. labels: of a classifier; by default as many as its files say."""
    places.require_model(place)
    with places.in_one_line(place, kind):
        tokenizer = tokenizer_class.read(place)
        config = places.read_config(place)
        if labels is not None:
            config.num_labels = labels
        loaded = whole.load(auto, place, config, on_meta=on_meta)
    if not on_meta:
        whole.require_numbers(loaded.model, place)
    return loaded, tokenizer


@quiet()
def save(network: Network, path: Path) -> None:
    """Write model and tokenizer into a fresh directory that replaces `path`; an adapter as `network.form` says."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    if lora.is_adapted(network.model):
        _save_adapted(network, path)
    else:
        plain = lora.in_plain_numbers(network.model) if nf4.is_quantized(network.model) else network.model
        plain.save_pretrained(path)
    network.tokenizer.save_pretrained(path)


def _save_adapted(network: Network, path: Path) -> None:
    """The merged model with its adapter beside it, or the adapter alone; without a base on disk the merged model alone."""
    alone = network.base is not None and network.form == "adapter"
    if alone:
        network.model.config.to_json_file(path / lora.MODEL)
    else:
        lora.merged(network.model).save_pretrained(path)
    if network.base is not None:
        lora.save(network.model, path if alone else path / adapter_base.FOLDER, network.base.place, network.base.digest)


def parameters(model: nn.Module) -> int:
    """How many parameters a model has, shared ones once."""
    packed = [m for m in model.modules() if isinstance(m, nf4.Nf4Linear)]
    return sum(p.numel() for p in model.parameters()) + sum(m.in_features * m.out_features for m in packed)


def pick_device(name: str) -> torch.device:
    """`auto`: CUDA, else the CPU. Apple's MPS is taken where it is asked for by name: it has never been run on."""
    if name != "auto":
        there = torch.cuda.is_available() if name.startswith("cuda") else torch.backends.mps.is_available()
        if name.startswith(("cuda", "mps")) and not there:
            raise ValueError(f"runtime.device: {name} is not to be had on this machine; use auto or cpu")
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
