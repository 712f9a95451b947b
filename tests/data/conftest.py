"""This room's tests share chat templates with others."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
