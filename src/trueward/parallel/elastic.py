"""torchrun's elastic launcher on one machine: `python -m trueward.parallel.elastic PARENT PROCESSES ARGUMENTS`.

Used by `trueward run --launch torchrun`. What `torchrun --standalone --nproc-per-node N -m trueward ARGUMENTS` does, with the
exit code of the process that failed first, and without a traceback of the launcher's own.
"""

from __future__ import annotations

import logging
import sys

from trueward.parallel.launched import die_with


def main() -> None:
    """Start them, wait for them, exit as the first that failed."""
    parent, processes, arguments = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    die_with(parent)
    logging.disable(logging.ERROR)  # the launcher's own account of a process that failed, which has said why itself
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=f"trueward-{parent}",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "trueward", *arguments)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        sys.exit(code if code > 0 else 128 - code)
    except SignalException as stop:
        sys.exit(128 + int(stop.sigval))


if __name__ == "__main__":
    main()
