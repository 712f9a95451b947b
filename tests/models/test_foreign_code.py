"""Python code in a model's directory is never run, whatever stands on standard input; nor are kernels fetched for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from families import CPU, change, save_model

from trueward.models import loading

MARK = "it-ran"
YES = "y\n" * 2000
CODE = f"""
from pathlib import Path
Path(__file__).with_name({MARK!r}).write_text("x")
Path({{mark!r}}).write_text("x")
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast
class Config(LlamaConfig): pass
class Model(LlamaForCausalLM): pass
class Reward(LlamaForSequenceClassification): pass
class Tokenizer(PreTrainedTokenizerFast): pass
"""
AUTO = {
    "AutoConfig": "evil.Config",
    "AutoModelForCausalLM": "evil.Model",
    "AutoModel": "evil.Model",
    "AutoModelForSequenceClassification": "evil.Reward",
}
TOKENIZER = {"AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"]}


def model_code(place: Path) -> None:
    change(place / "config.json", auto_map=AUTO, model_type="evil")


def known_model_with_code(place: Path) -> None:
    change(place / "config.json", auto_map=AUTO)


def tokenizer_code(place: Path) -> None:
    change(place / "tokenizer_config.json", auto_map=TOKENIZER, tokenizer_class="Tokenizer")


def tokenizer_in_config(place: Path) -> None:
    change(place / "config.json", auto_map=TOKENIZER)
    change(place / "tokenizer_config.json", tokenizer_class=None)


def generation_code(place: Path) -> None:
    (place / "custom_generate").mkdir()
    (place / "custom_generate" / "generate.py").write_text((place / "evil.py").read_text(), encoding="utf-8")


WAYS: dict[
    str, tuple[Callable[[Path], None], bool]
] = {  # whether the model is refused: without its code nobody knows it
    "of a model": (model_code, True),
    "of a family that transformers knows": (known_model_with_code, False),
    "of a tokenizer": (tokenizer_code, True),
    "of a tokenizer, in the model's file": (tokenizer_in_config, False),
    "of how tokens are drawn": (generation_code, False),
}


def made(folder: Path, way: str) -> tuple[Path, Path]:
    """A directory with code that leaves a mark when it is run."""
    place = save_model(folder / "model")
    (place / "evil.py").write_text(CODE.format(mark=str(folder / MARK)), encoding="utf-8")
    WAYS[way][0](place)
    return place, folder / MARK


def ran(folder: Path) -> bool:
    return any(folder.rglob(MARK))


def test_the_code_would_leave_a_mark(tmp_path: Path) -> None:
    place, mark = made(tmp_path, "of a model")
    subprocess.run([sys.executable, str(place / "evil.py")], check=True)
    assert mark.exists()


@pytest.mark.parametrize("way", WAYS)
def test_code_is_not_run_and_not_offered(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, mark = made(tmp_path, way)
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    loads: list[Callable[[], object]] = [
        lambda: loading.causal(str(place), 0, CPU),
        lambda: loading.causal(str(place), 0, torch.device("meta")),
        lambda: loading.tokenizer(str(place)),
        lambda: loading.reward_from_policy(place, CPU),
        lambda: loading.reward(place, CPU),
    ]
    for load in loads:
        if WAYS[way][1] or load is loads[-1]:
            with pytest.raises(ValueError, match=str(place)) as caught:
                load()
            assert "\n" not in str(caught.value)
            assert "trust_remote_code" not in str(caught.value)
        else:
            load()
    assert not ran(tmp_path), mark


@pytest.mark.parametrize("way", ["of a model", "of a tokenizer", "of a family that transformers knows"])
def test_yes_on_standard_input_changes_nothing(way: str, tmp_path: Path) -> None:
    place, _ = made(tmp_path, way)
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "OMP_NUM_THREADS": "1"}
    command = ["-m", "trueward", "sample", str(place), "--prompt", "the film", "--max-new-tokens", "2"]
    done = subprocess.run(
        [sys.executable, *command], input=YES, capture_output=True, text=True, env=environment, check=False, timeout=120
    )
    assert not ran(tmp_path)
    assert done.returncode == (2 if WAYS[way][1] else 0), done.stderr
    if WAYS[way][1]:
        assert "never runs" in done.stderr
        assert done.stderr.count("\n") == 1


class Marks:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.write_text, (self.mark, "x")


def test_objects_in_a_file_of_weights_are_not_made(tmp_path: Path) -> None:
    place = save_model(tmp_path / "model")
    (place / "model.safetensors").unlink()
    torch.save({"model.norm.weight": torch.ones(16), "other": Marks(tmp_path / MARK)}, place / "pytorch_model.bin")
    for load in (lambda: loading.causal(str(place), 0, CPU), lambda: loading.reward(place, CPU)):
        with pytest.raises(ValueError, match="its files hold Python objects beside tensors") as caught:
            load()
        assert "\n" not in str(caught.value)
    assert not ran(tmp_path)


def test_a_kernel_that_a_configuration_names_is_not_fetched(tmp_path: Path) -> None:
    place = save_model(tmp_path / "model")
    expected = loading.causal(str(place), 0, CPU).model.config._attn_implementation
    for name in ("kernels-community/flash-attn", "somebody/evil-kernel", "flash_attention_2"):
        change(place / "config.json", attn_implementation=name)
        assert loading.causal(str(place), 0, CPU).model.config._attn_implementation == expected


def test_an_adapters_tokenizer_with_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_adapter_files import adapter

    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    place = adapter(tmp_path)
    save_model(tmp_path / "words")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (place / name).write_bytes((tmp_path / "words" / name).read_bytes())
    (place / "evil.py").write_text(CODE.format(mark=str(tmp_path / MARK)), encoding="utf-8")
    tokenizer_code(place)
    with pytest.raises(ValueError, match="never runs"):
        loading.causal(str(place), 0, CPU)
    assert not ran(tmp_path)


def test_every_loader_says_that_no_code_is_run() -> None:
    """Each call of from_pretrained in the package that can meet an auto_map."""
    package = Path(loading.__file__).parents[1]
    for file in package.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        for part in text.split("from_pretrained(")[1:]:
            call = part[: part.index(")\n") if ")\n" in part else len(part)]
            plain = text[: text.index("from_pretrained(" + part[:20])].endswith("PreTrainedTokenizerFast.")
            assert plain or "trust_remote_code=False" in call, f"{file}: {call[:60]}"
