"""`trueward lab`: the lab's page, served or exported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def lab(
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", metavar="DIR", help="Write the page into this directory, as one file, and serve nothing."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to serve at; 0: any that is free.")] = 0,
) -> None:
    """Serve the lab on loopback until Ctrl-C: a page on which clicks train a reward and a policy optimises it."""
    from trueward import artifacts
    from trueward.lab import page, server

    if export is not None:
        artifacts.write_text(export / "index.html", page.whole())
        print(export / "index.html")
        return
    with server.server(port) as serving:
        print(server.address(serving), flush=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print()
