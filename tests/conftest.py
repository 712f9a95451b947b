"""What the pipeline's tests share: a small recipe, a finished run of it, and processes that can be killed."""

from __future__ import annotations

import asyncio
import gc
import gzip
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.artifacts import Artifact
from trueward.cli import app
from trueward.progress import Progress

SMALL = (
    "runtime.threads=1",
    "sft.epochs=0.1",
    "comparisons.count=60",
    "policy.steps=3",
    "policy.batch_size=16",
    "sampler.max_new_tokens=12",
    "evaluation.final_prompts=16",
    "evaluation.step_prompts=16",
    "evaluation.every=1",
    "evaluation.control=never",
)
UNTIMED = ("seconds", "peak_memory_mb", "command")
FEW = 60  # prompts with two SFT answers each, in place of 384: as many as a scale and a home of states take


def pytest_configure() -> None:
    """A shell makes its background jobs ignore SIGINT, and what tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Imports torch once and then forks a child for every command, so that a test can kill many of them. The parent never
# computes anything, and so has no threads that a fork could lose.
SERVER = """
import json, os, resource, sys
import trueward.pipeline.sft, trueward.cli.app, transformers.models.llama.modeling_llama

trueward.pipeline.sft.REFERENCE_PROMPTS = int(sys.argv[1])
child = 0
for request in map(json.loads, sys.stdin):
    if request == "ended?":  # looked at and left as it is, so that its id stays its own
        print(int(os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None), flush=True)
        continue
    if request == "wait":
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    child = os.fork()
    if not child:
        os.chdir(request["cwd"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for name, number in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        if request["largest_file"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"],) * 2)
        sys.argv, code = ["trueward", *request["arguments"]], 0
        try:
            if request["program"]:
                sys.path.insert(0, "")  # as `python -c` does
                exec(compile(request["program"], "<program>", "exec"), {"__name__": "__main__"})
            else:
                trueward.cli.app.main()
        except SystemExit as stop:
            code = stop.code
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
    print(child, flush=True)
"""


def pytest_collection_finish() -> None:
    """What thousands of tests are made of stays until the end: the garbage collector needn't look at it again and again."""
    gc.collect()
    gc.freeze()


class Processes:
    """`trueward ...` in processes of their own, one at a time, in `folder`."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None, reference: int = FEW) -> None:
        self.folder = folder
        environment = {**(os.environ if environment is None else environment), "OMP_NUM_THREADS": "1"}
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(reference)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, request: Any) -> int:
        assert self.server.stdin
        assert self.server.stdout
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def start(self, *arguments: str, largest_file: int = 0, program: str = "") -> None:
        self.process = self.ask(
            {
                "arguments": arguments,
                "program": program,
                "cwd": str(self.folder),
                "stdout": str(self.folder / "stdout"),
                "stderr": str(self.folder / "stderr"),
                "largest_file": largest_file,
            }
        )

    def ended(self) -> bool:
        return bool(self.ask("ended?"))

    def finish(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        return self.ask("wait")

    def run(self, *arguments: str, largest_file: int = 0, program: str = "") -> tuple[int, str]:
        """Exit code and standard error of a command, or of a program in Python."""
        self.start(*arguments, largest_file=largest_file, program=program)
        return self.finish(), (self.folder / "stderr").read_text()

    def kill(self) -> bool:
        """Whether it was killed, and had not ended before."""
        os.kill(self.process, signal.SIGKILL)  # not waited for yet, so the id is still its own
        code = self.finish()
        assert code in (0, app.WAITING, -signal.SIGKILL), (self.folder / "stderr").read_text()
        return code == -signal.SIGKILL

    def kill_at_random(self, *arguments: str, seed: int, patience: float, growth: float) -> int:
        """Start it and kill it after random delays, ever longer, until it comes to its end; how often it was killed."""
        draw, killed = random.Random(seed), 0
        while True:
            self.start(*arguments)
            time.sleep(draw.uniform(0, patience))
            if not self.kill():
                return killed
            killed += 1
            patience *= growth
            assert killed < 60


@contextmanager
def serving(folder: Path, environment: dict[str, str] | None = None, reference: int = FEW) -> Iterator[Processes]:
    made = Processes(folder, environment, reference)
    yield made
    assert made.server.stdin
    made.server.stdin.close()
    made.server.wait(timeout=60)
    assert made.server.stdout
    made.server.stdout.close()


@pytest.fixture(scope="module", autouse=True)
def few_reference_answers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs draw fewer answers of the SFT policy, whose reading is most of a small run; all where a test compares what was
    learned with a bound, and in a module with `WHOLE_REFERENCE`, which compares with processes that draw all."""
    with pytest.MonkeyPatch.context() as patch:
        here = (item for item in request.session.items if item.nodeid.startswith(f"{request.node.nodeid}::"))
        whole = getattr(request.module, "WHOLE_REFERENCE", False)
        if not whole and not any(item.get_closest_marker("learned") for item in here):
            patch_reference(patch)
        yield


def patch_reference(patch: pytest.MonkeyPatch) -> None:
    from trueward.pipeline import sft

    patch.setattr(sft, "REFERENCE_PROMPTS", FEW)


@pytest.fixture(scope="session")
def make_processes() -> Callable[..., AbstractContextManager[Processes]]:
    """Other ones, in a folder, with the environment that is given or that is there then; and with more reference prompts."""
    return serving


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with serving(tmp_path_factory.mktemp("processes")) as made:
        yield made


def flags(*changes: str) -> list[str]:
    """The small recipe with some more changes, as arguments."""
    return ["run", "tiny", "--quiet", *(part for change in (*SMALL, *changes) for part in ("--set", change))]


@pytest.fixture(scope="session")
def small() -> Callable[..., list[str]]:
    return flags


@pytest.fixture(scope="session")
def ordinary() -> list[str]:
    """The beginning of a command of trueward in a process that shares nothing with others, and draws as few answers."""
    program = (
        f"from trueward.pipeline import sft\nsft.REFERENCE_PROMPTS = {FEW}\nfrom trueward.cli.app import main\nmain()"
    )
    return [sys.executable, "-c", program]


@pytest.fixture(scope="session")
def climb() -> Callable[..., Artifact]:
    """Climbs the small recipe, with changes, in this process."""
    from trueward import pipeline  # torch comes with it: only the tests that climb wait for that

    def climb_small(home: Path, name: str, *changes: str, until: str = "report") -> Artifact:
        recipe = config.read("tiny", [*SMALL, *changes])
        with pytest.MonkeyPatch.context() as patch:
            patch_reference(patch)  # wherever it's asked for first: all share the run
            return pipeline.run_pipeline(recipe, home, name, Progress(), until=until)

    return climb_small


@pytest.fixture(scope="session")
def baseline(tmp_path_factory: pytest.TempPathFactory, climb: Callable[..., Artifact]) -> Path:
    """A finished run of the small recipe. Look, don't touch."""
    home = tmp_path_factory.mktemp("home")
    climb(home, "baseline")
    return home / "baseline"


def timeless(value: Any) -> Any:
    """A JSON value without what two equal runs may differ in."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in UNTIMED}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def contents(run: Path) -> dict[str, Any]:
    """All that a run made, by file: weights as bytes, logs and reports as values, apart from seconds and memory."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in run.rglob("*") if p.is_file()):
        name = str(path.relative_to(run))
        if "checkpoints" in name or path.suffix == ".html" or path.name in (".lock", "manifest.json", "recipe.toml"):
            continue
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if ".jsonl" in path.name:
            found[name] = [timeless(json.loads(row)) for row in raw.splitlines()]
        elif path.suffix == ".json":
            found[name] = timeless(json.loads(raw))
        else:
            found[name] = raw
    return found


@pytest.fixture(scope="session")
def made_by() -> Callable[[Path], dict[str, Any]]:
    return contents


class Tags(HTMLParser):
    """Every tag with its attributes, and whether each one that was opened is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="session")
def read_tags() -> Callable[[str], Tags]:
    return Tags


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    """Starts a service that a judge can be behind (tests/service.py)."""
    spec = importlib.util.spec_from_file_location("service", Path(__file__).with_name("service.py"))
    assert spec
    assert spec.loader
    module = sys.modules.setdefault("service", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    made: list[Any] = []

    def start(says: Callable[..., Any]) -> Any:
        made.append(module.Service(says))
        return made[-1]

    yield start
    for service in made:
        service.close()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: Any) -> Callable[..., tuple[int, str, str]]:
    """`trueward ...` in this process and an empty folder: exit code, standard output and error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["trueward", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            app.main()
        out, err = capfd.readouterr()
        return int(stop.value.code or 0), out, err

    return call


def tiny_network(kind: str, seed: int, dtype: Any, words: list[str] | None, **changes: Any) -> Any:
    """A Llama of two narrow layers with random weights, and the tokenizer of whole words."""
    import torch
    import transformers

    from trueward.data import toy
    from trueward.models import tiny
    from trueward.models.network import Network

    torch.manual_seed(seed)
    tokenizer = tiny.word_tokenizer(toy.words() if words is None else words)
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 48,
        "tie_word_embeddings": True,
        "initializer_range": 0.2,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    model = getattr(transformers, kind)(transformers.LlamaConfig(**{**settings, **changes}))
    return Network(model.to(dtype or torch.float32).eval(), tokenizer)


@pytest.fixture
def make_policy() -> Callable[..., Any]:
    """A tiny policy: seed, dtype, the words of its vocabulary, and any setting of its config."""

    def make(seed: int = 0, dtype: Any = None, words: list[str] | None = None, **changes: Any) -> Any:
        return tiny_network("LlamaForCausalLM", seed, dtype, words, **changes)

    return make


@pytest.fixture
def make_reward() -> Callable[..., Any]:
    """A tiny reward model with random weights, its head included."""

    def make(seed: int = 0, dtype: Any = None, words: list[str] | None = None, **changes: Any) -> Any:
        return tiny_network("LlamaForSequenceClassification", seed, dtype, words, num_labels=1, **changes)

    return make


@pytest.fixture
def demonstrations() -> list[Any]:
    """Twelve toy reviews of different lengths; every third one is cut."""
    from trueward.data import toy
    from trueward.records import Completion, Prompt

    return [
        Completion(prompt=Prompt(text=prompt), response=response, finished=i % 3 != 0)
        for i, (prompt, response) in enumerate(toy.reviews(12, seed=5))
    ]


@pytest.fixture
def toy_prompts() -> list[Any]:
    """Twenty prompts of three to five words, no two alike."""
    from trueward.data import toy
    from trueward.records import Prompt

    texts = dict.fromkeys(prompt for prompt, _ in toy.reviews(60, seed=9))
    return [Prompt(text=text) for text in list(texts)[:20]]


BUDGETS = {  # seconds of one core that a room's tests may take; printed at the end of a run, so that growth is seen
    "algorithms": 90, "api": 150, "benchmarks": 45, "cli": 90, "config": 30, "data": 30, "docs": 330, "evaluation": 120,
    "devices": 60, "fuzz": 30, "golden": 90, "release": 20,
    "lab": 30, "launch": 300, "learning": 360, "losses": 30, "models": 180, "parallel": 340, "pipeline": 720, "reporting": 60,
    "sampling": 45, "scorers": 120, "studio": 240, "tracking": 45, "training": 45, "web": 260, "tests": 30,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_running_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """A browser that is driven without `await` leaves its event loop running in the thread of all tests that follow: none
    of them sees it, whatever the order of the files."""
    loop = asyncio._get_running_loop()
    if loop is None or "browser" in request.fixturenames:
        yield
        return
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(loop)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Each room's seconds beside its budget."""
    spent: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                parts = Path(report.nodeid.partition("::")[0]).parts
                room = parts[1] if len(parts) > 2 else "tests"
                spent[room] = spent.get(room, 0.0) + report.duration
    if len(spent) > 1:
        terminalreporter.section("seconds by room, of its budget")
        for room, seconds in sorted(spent.items(), key=lambda item: -item[1]):
            budget = BUDGETS.get(room)
            over = "  over" if budget is None or seconds > budget else ""
            terminalreporter.write_line(f"{room:<12} {seconds:7.1f} of {budget or '?'}{over}")
