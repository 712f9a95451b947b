"""The studio: people compare and write answers here, and runs are watched. `Client` asks one from a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueward.studio.client import Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    if name != "Client":
        raise AttributeError(f"module 'trueward.studio' has no attribute {name!r}")
    from trueward.studio.client import Client

    return Client
