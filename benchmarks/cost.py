"""How cost grows with the work: time and memory from 1,000 to 64,000 tokens, completions and prompts; and what a start takes.

    PYTHONPATH=benchmarks python benchmarks/cost.py

Each amount is a process of its own, on size S. Prints the tables and the exponents; the numbers stand in benchmarks/cost.json,
the chart in docs/images/cost.svg. Amounts that are in the file already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from speed import arithmetic, drawing, peers, prediction, processes, results
from speed.__main__ import material
from speed.sizes import S

AMOUNTS = tuple(1000 * 2**i for i in range(7))
WHAT = ("tokens learned", "completions sampled", "completions scored", "prompts")
HERE = Path(__file__).parent


def measured(what: str, amount: int, asked: argparse.Namespace) -> dict[str, float]:
    """Seconds and bytes of one amount."""
    job = {
        "what": what, "amount": amount, "threads": asked.threads, "cpu_time": asked.cpu_time, "warm_up": 0, "steps": 1,
        "material": str(material(S)),
    }  # fmt: skip
    found = processes.measure("cost_work", job)
    return {"seconds": sum(found["seconds"]), "memory": found["memory"]}


def seconds(command: list[str], times: int) -> float:
    """The fastest of several calls: what the command takes when nothing else runs."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        best = min(best, time.perf_counter() - start)
    return best


def starts(times: int) -> dict[str, float]:
    """Seconds until the command line has said something without torch, has loaded torch, has made its first step."""
    me = [sys.executable, "-m", "trueward"]
    return {
        "trueward --help": seconds([*me, "--help"], times),
        "import of torch and transformers' models": seconds(
            [sys.executable, "-c", "import trueward.pipeline.run"], times
        ),
        "trueward run tiny, to its first training step": min(first_step(me) for _ in range(times)),
    }


def first_step(me: list[str]) -> float:
    """Until the first line of SFT's metrics is there."""
    with TemporaryDirectory() as home:
        start = time.perf_counter()
        command = [*me, "run", "tiny", "--until", "sft"]
        running = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            while running.poll() is None:
                if any(path.stat().st_size for path in Path(home).rglob("metrics.jsonl")):
                    break
                time.sleep(0.005)
            return time.perf_counter() - start
        finally:
            running.kill()
            running.wait()


def table(found: dict[str, Any], amounts: tuple[int, ...]) -> str:
    """Markdown: seconds and memory by amount, and the exponents of both."""
    lines = ["| | " + " | ".join(f"{a:,}" for a in amounts) + " | exponent |", "|---|" + "---|" * (len(amounts) + 1)]
    for what in WHAT:
        here = [found[what][str(a)] for a in amounts]
        for unit, key, scale in (("s", "seconds", 1.0), ("MB", "memory", 1e6)):
            values = [h[key] / scale for h in here]
            power = arithmetic.exponent(amounts, [max(v, 1e-9) for v in values])
            cells = " | ".join(f"{v:.3g}" if v < 100 else f"{v:.0f}" for v in values)
            lines.append(f"| {what}, {unit} | {cells} | {power:.2f} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    processes.end_with_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=AMOUNTS[-1], help="the largest amount")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--cpu-time", action="store_true", help="count the processor's time: for a busy machine")
    parser.add_argument("--times", type=int, default=5, help="calls of the command line, of which the fastest counts")
    parser.add_argument("--share", type=float, default=0.4, help="of a GPU's products, for the prediction")
    parser.add_argument("--decoding", type=float, default=0.5, help="of a GPU's limit while it decodes")
    parser.add_argument("--out", type=Path, default=HERE / "cost.json")
    parser.add_argument("--svg", type=Path, default=peers.ROOT / "docs" / "images" / "cost.svg")
    asked = parser.parse_args(argv)
    found: dict[str, Any] = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.is_file() else {}
    amounts = tuple(a for a in AMOUNTS if a <= asked.most)
    for what in WHAT:
        for amount in amounts:
            if str(amount) not in found.setdefault(what, {}):
                found[what][str(amount)] = measured(what, amount, asked)
                results.put(asked.out, found)
                print(f"{what}, {amount:,}: {found[what][str(amount)]}", file=sys.stderr, flush=True)
    if "starts" not in found:
        found["starts"] = starts(asked.times)
        results.put(asked.out, found)
    print(table(found, amounts))
    for name, value in found["starts"].items():
        print(f"{name}: {value:.2f} s")
    print(prediction.table(asked.share, asked.decoding))
    chart = [
        (what, tone, amounts, [found[what][str(a)]["seconds"] for a in amounts]) for tone, what in enumerate(WHAT, 1)
    ]
    asked.svg.parent.mkdir(parents=True, exist_ok=True)
    asked.svg.write_text(drawing.doublings("How time grows with the work", "amount", "time", chart), encoding="utf-8")


if __name__ == "__main__":
    main()
