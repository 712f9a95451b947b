"""scripts/ is no part of the package: its modules are found as Python finds those beside a script."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[list[str], list[str]], Any]:
    """An sdist and a wheel of version 1.2.3 with these files, all empty."""
    from distributions import Distributions

    def write(sdist: list[str], wheel: list[str]) -> Distributions:
        built = Distributions(tmp_path / "trueward-1.2.3.tar.gz", tmp_path / "trueward-1.2.3-py3-none-any.whl")
        with tarfile.open(built.sdist, "w:gz") as archive:
            for name in sdist:
                archive.addfile(tarfile.TarInfo(f"trueward-1.2.3/{name}"), io.BytesIO())
        with zipfile.ZipFile(built.wheel, "w") as packed:
            for name in wheel:
                packed.writestr(name, "")
        return built

    return write
