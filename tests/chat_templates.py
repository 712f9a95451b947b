"""Chat templates as five families of models have them, with their control tokens, and small tokenizers of several kinds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CHATML = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' + message.content }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n' if message.content or not loop.first }}
            {{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""
LLAMA3 = """\
{{- bos_token }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
"""
GEMMA = """\
{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
    {{- '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}
"""
MISTRAL = """\
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] %}{%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in turns %}
    {%- if message['role'] == 'user' %}
        {%- if loop.last and system is defined %}
            {{- '[INST] ' + system + '\\n\\n' + message['content'] + '[/INST]' }}
        {%- else %}
            {{- '[INST] ' + message['content'] + '[/INST]' }}
        {%- endif %}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + message['content'] | trim + eos_token }}
    {%- else %}
        {{- raise_exception('Only user and assistant roles are supported!') }}
    {%- endif %}
{%- endfor %}
"""
ZEPHYR = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n' + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
"""


@dataclass(frozen=True)
class Family:
    """A template, the token that opens a text and the one that ends an answer, and the further ones."""

    template: str
    opens: str
    ends: str
    special: tuple[str, ...]
    plain: tuple[str, ...] = ()
    """Added tokens that aren't flagged as special."""
    has_system: bool = True


FAMILIES = {
    "chatml": Family(
        CHATML,
        "<|endoftext|>",
        "<|im_end|>",
        ("<|im_start|>",),
        ("<tool_call>", "</tool_call>", "<think>", "</think>"),
    ),
    "llama-3": Family(LLAMA3, "<|begin_of_text|>", "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>")),
    "gemma": Family(GEMMA, "<bos>", "<end_of_turn>", ("<start_of_turn>", "<eos>"), ("\n\n",), has_system=False),
    "mistral": Family(MISTRAL, "<s>", "</s>", ("[INST]", "[/INST]", "[THINK]", "[/THINK]")),
    "zephyr": Family(ZEPHYR, "<s>", "</s>", ("<think>", "</think>"), ("<|user|>", "<|assistant|>")),
}
KINDS = ("byte-level", "metaspace", "llama-2", "unigram", "words")
TEXT = (
    "The film was good, and the film was bad: how many films, user? 2 + 3 = 5 <|and|> so on.",
    "You are brief. system user assistant model\nWhat is seven? <it> [is] a <s>trange number</s>, isn't it?\n",
)


def tokenizer(family: Family, kind: str = "byte-level", **more: Any) -> Any:
    """A tokenizer of one of `KINDS` with the family's tokens and template. more: further special tokens, as `special`."""
    unknown, pad = "<unk>", "<pad>"
    special = [pad, unknown, family.opens, family.ends, *family.special, *more.get("special", ())]
    core = _core(kind, special)
    core.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    core.add_tokens([AddedToken(text, special=False, normalized=False) for text in family.plain])
    if family.opens != "<|endoftext|>":
        opens = core.token_to_id(family.opens)
        core.post_processor = processors.TemplateProcessing(
            single=f"{family.opens} $A", special_tokens=[(family.opens, opens)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=family.opens,
        eos_token=family.ends,
        pad_token=pad,
        **({"unk_token": unknown} if kind != "byte-level" else {}),
        chat_template=family.template,
        clean_up_tokenization_spaces=False,
    )


def _core(kind: str, special: list[str]) -> Tokenizer:
    if kind == "words":
        words = sorted({piece for text in TEXT for piece in text.split()})
        core = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *words])}, unk_token="<unk>"))
        core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return core
    if kind == "unigram":
        pieces = [*((text, 0.0) for text in special), *((f"<0x{i:02X}>", -20.0) for i in range(256))]
        letters = sorted({letter for text in (*TEXT, *special) for letter in text} | {"▁"})
        core = Tokenizer(
            models.Unigram([*pieces, *((x, -5.0) for x in letters), ("film", -4.0)], unk_id=1, byte_fallback=True)
        )
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first")])
        return core
    if kind == "byte-level":
        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        alphabet = []
    first = [*special, *(f"<0x{i:02X}>" for i in range(256))]
    core.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, special_tokens=first, show_progress=False)
    )
    table = json.loads(core.to_str())
    table["added_tokens"] = []  # bytes are words of the vocabulary, and no special tokens
    core = Tokenizer.from_str(json.dumps(table))
    if kind == "llama-2":  # the space in front is the normalizer's, at the beginning of each piece
        core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        core.pre_tokenizer = None
    return core
