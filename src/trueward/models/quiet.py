"""transformers without its progress bars and load reports, while a model is loaded or saved."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers.utils import logging as hf_logging

_lock = Lock()
_depth = 0
_before = (logging.WARNING, True, True)  # level, bars of transformers, bars of its hub library


@contextmanager
def quiet() -> Iterator[None]:
    """Errors alone are logged and no bars are drawn; afterwards level and bars are what they were.

    These settings are the process's, so scopes in several threads count as one, from the first that begins to the last
    that ends.
    """
    global _depth, _before
    logger = hf_logging.get_logger("transformers")
    with _lock:
        if not _depth:
            _before = (logger.level, hf_logging.is_progress_bar_enabled(), not are_progress_bars_disabled())
            hf_logging.disable_progress_bar()
            logger.setLevel(logging.ERROR)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if not _depth:
                level, bars, hub_bars = _before
                logger.setLevel(level)
                if bars:
                    hf_logging.enable_progress_bar()
                (enable_progress_bars if hub_bars else disable_progress_bars)()
