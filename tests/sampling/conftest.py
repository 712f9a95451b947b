"""Modules beside the tests, and a vLLM that stands in for the real one."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from vllm_stand_in import vllm

__all__ = ["vllm"]
