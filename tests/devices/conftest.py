"""So that the tests here find what they share: pretend.py beside them, and the loops' setups."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "algorithms"), str(HERE.parent)]
