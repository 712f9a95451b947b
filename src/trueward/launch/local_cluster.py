"""A Ray cluster of this machine alone, for as long as who started it lives: `python -m trueward.launch.local_cluster CPUS`.

Its address comes as a line of JSON on standard output. It ends with its standard input, which the system closes when its
parent dies, however that happens: so no process of the cluster is left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

from trueward.signals import StoppedBySignal, stopped_by_signals


def main() -> None:
    """Start it, say where it is, wait for the end of standard input, end it."""
    with os.fdopen(os.dup(1), "w") as out, contextlib.suppress(StoppedBySignal), stopped_by_signals():
        os.dup2(2, 1)  # what else is printed must not mix with the line
        try:
            address = start(float(sys.argv[1]))
        except Exception as error:
            print(json.dumps({"wrong": " ".join(str(error).split()) or type(error).__name__}), file=out, flush=True)
            return
        print(json.dumps({"address": address}), file=out, flush=True)
        try:
            sys.stdin.read()
        finally:
            import ray

            ray.shutdown()


def start(cpus: float) -> str:
    """Start a cluster with so many logical cores and all GPUs of this machine; its address."""
    import ray

    ray.init(
        address="local",
        num_cpus=int(cpus),
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    return str(ray.get_runtime_context().gcs_address)


if __name__ == "__main__":
    main()
