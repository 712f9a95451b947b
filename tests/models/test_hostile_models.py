"""Model directories that carry code: none of it runs, whatever stands on standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trueward.models import loading


class Code:
    """Unpickled, it makes a file."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("kind", ["weights", "config", "tokenizer"])
def test_no_code_of_a_model_runs(tmp_path: Path, kind: str) -> None:
    model, made = tmp_path / "model", tmp_path / "made"
    loading.save(loading.causal("trueward:tiny", 0, torch.device("cpu")), model)
    (model / "evil.py").write_text(f"import os\nos.mkdir({str(made)!r})\nclass C: pass\nclass M: pass\nclass T: pass\n")
    changes = {
        "config": {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}},
        "tokenizer": {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": ["evil.T", None]}},
    }
    if kind == "weights":
        (model / "model.safetensors").unlink()
        torch.save({"x": Code(made)}, model / "pytorch_model.bin")
    else:
        file = model / ("config.json" if kind == "config" else "tokenizer_config.json")
        file.write_text(json.dumps(json.loads(file.read_text()) | changes[kind]))
    command = [sys.executable, "-m", "trueward", "sample", str(model)]
    done = subprocess.run(command, input="y\n" * 50, capture_output=True, text=True, check=False)  # prompts, one a line
    assert done.returncode == 2
    assert done.stderr.startswith(f"trueward: {model}: ")
    assert done.stderr.count("\n") == 1
    assert not made.exists()
