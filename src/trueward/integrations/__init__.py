"""trueward inside of other tools: a callback for the trainers of TRL and transformers, imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trueward.integrations.audit_callback import AuditCallback

__all__ = ["AuditCallback"]


def __getattr__(name: str) -> Any:
    if name != "AuditCallback":
        raise AttributeError(f"module 'trueward.integrations' has no attribute {name!r}")
    from trueward.integrations.audit_callback import AuditCallback

    return AuditCallback
