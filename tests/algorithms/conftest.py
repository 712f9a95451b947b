"""So that the tests here find what they share: setups.py beside them, and the chat templates."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
