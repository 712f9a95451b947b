"""Where the command was called, for processes on the machines of a cluster."""

from __future__ import annotations

import os
import socket


def enter(folder: str) -> None:
    """Make it the working directory. `ValueError` where this machine has none of that name."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise ValueError(
            f"{socket.gethostname()} doesn't see {folder}, where the command was called ({error.strerror}); give all "
            "machines of the cluster the same file system"
        ) from None
