"""The process's settings of transformers' logging are as they were, after and beside every load."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from transformers.utils import logging as hf_logging

from trueward.models import loading
from trueward.models.quiet import quiet

Settings = tuple[int, bool, bool]


def settings() -> Settings:
    level = logging.getLogger("transformers").level
    return level, hf_logging.is_progress_bar_enabled(), are_progress_bars_disabled()


QUIET = (logging.ERROR, False, True)


def test_the_settings_come_back_from_nested_and_overlapping_scopes() -> None:
    before = settings()
    with quiet():
        assert settings() == QUIET
        with quiet():
            assert settings() == QUIET
        assert settings() == QUIET
    assert settings() == before
    one, other = quiet(), quiet()  # as two threads that load at the same time
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert settings() == QUIET
    other.__exit__(None, None, None)
    assert settings() == before


def test_the_settings_come_back_after_an_error() -> None:
    before = settings()
    with pytest.raises(RuntimeError), quiet():
        raise RuntimeError
    assert settings() == before


def test_a_user_who_turned_the_bars_off_keeps_them_off() -> None:
    hf_logging.disable_progress_bar()
    try:
        before = settings()
        with quiet():
            pass
        assert settings() == before
    finally:
        hf_logging.enable_progress_bar()


def test_loading_and_saving_say_nothing_and_leave_the_settings_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = settings()
    device = torch.device("cpu")
    loading.save(loading.causal("trueward:base", 0, device), tmp_path / "policy")
    loading.save(loading.reward_from_policy(tmp_path / "policy", device), tmp_path / "reward")
    loading.reward(tmp_path / "reward", device)
    loading.tokenizer(str(tmp_path / "policy"))
    assert settings() == before
    assert capfd.readouterr() == ("", "")


def test_importing_changes_nothing() -> None:
    code = (
        "import logging; from transformers.utils import logging as hf; before = hf.get_verbosity();"
        "import trueward.models.loading, trueward.models.fast.packed;"
        "assert hf.get_verbosity() == before and hf.is_progress_bar_enabled()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
