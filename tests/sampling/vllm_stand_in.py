"""A stand-in for vLLM, as a module and as a server over HTTP: it computes with transformers, and misbehaves when told."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file

from trueward.models import lora


@dataclass
class Engine:
    """What vLLM computes. faults: what goes wrong, by name. calls: what was asked of it."""

    faults: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    model: Any = None
    deaths: int = 0  # calls that it will yet die at
    delay: float = 0.0
    version: int = 0

    def start(self, folder: Path, **settings: Any) -> None:
        self.calls.append("start")
        self.settings = settings
        config = transformers.AutoConfig.from_pretrained(folder)
        self.model = transformers.AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for name, tensor in load_file(folder / "model.safetensors").items():
                self.model.get_parameter(name).copy_(tensor)

    def reload(self, folder: Path) -> None:
        self.calls.append("reload")
        self.die()
        tensors = load_file(folder / "model.safetensors")
        if "stale" in self.faults:
            return
        if "drops" in self.faults:
            tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("lm_head")}
        with torch.no_grad():
            for name, tensor in tensors.items():
                self.model.get_parameter(name).copy_(tensor)

    def adapt(self, folder: Path) -> None:
        self.calls.append("adapt")
        if "stale" in self.faults and lora.is_adapted(self.model):
            return
        if lora.is_adapted(self.model):
            saved = load_file(folder / lora.WEIGHTS)
            with torch.no_grad():
                for name, weight in lora.own_parameters(self.model).items():
                    weight.copy_(saved[lora.INSIDE + name.replace(".default.", ".")])
        else:
            lora.attach(self.model, folder, "")

    def die(self) -> None:
        time.sleep(self.delay)
        if self.deaths:
            self.deaths -= 1
            raise RuntimeError("EngineCore encountered an issue\nmore lines")

    @torch.no_grad()
    def answer(
        self, ids: list[int], most: int, temperature: float, seed: int, stops: list[int], bias: dict[int, float]
    ) -> tuple[list[int], list[float], list[float]]:
        """Ids and log-probs of an answer, and the log-probs of the prompt from its second token on."""
        draw = torch.Generator().manual_seed(seed)
        logits = self.model(torch.tensor([ids])).logits[0].float()
        read = logits[:-1].log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None]).squeeze(1).tolist()
        chosen: list[int] = []
        logprobs: list[float] = []
        while len(chosen) < most:
            last = self.model(torch.tensor([ids + chosen])).logits[0, -1].float()
            for token, value in bias.items():
                last[token] += value
            spread = (last / temperature).log_softmax(-1)
            token = int(torch.multinomial(spread.exp(), 1, generator=draw))
            chosen.append(token)
            logprobs.append(float(spread[token]))
            if token in stops:
                break
        if "short" in self.faults:
            chosen, logprobs = chosen[:1], logprobs[:1]
        return chosen, logprobs, read


def as_module(engine: Engine) -> dict[str, ModuleType]:
    """The modules of vLLM that trueward imports."""

    class LLM:
        def __init__(self, model: str, **settings: Any) -> None:
            engine.start(Path(model), **settings)
            self.llm_engine = SimpleNamespace(
                engine_core=SimpleNamespace(shutdown=lambda: engine.calls.append("shutdown"))
            )

        def collective_rpc(self, method: str, kwargs: dict[str, str]) -> list[None]:
            assert method == "reload_weights"
            engine.reload(Path(kwargs["weights_path"]))
            return [None]

        def reset_prefix_cache(self) -> bool:
            engine.calls.append("reset")
            return "keeps" not in engine.faults

        def generate(self, prompts: Any, params: Any, use_tqdm: bool, lora_request: Any) -> list[Any]:
            assert not use_tqdm
            engine.calls.append(f"generate {len(prompts)}")
            engine.die()
            if lora_request is not None and lora_request.number > engine.version:
                engine.version = lora_request.number
                engine.adapt(Path(lora_request.path))
            return [self.one(each["prompt_token_ids"], p) for each, p in zip(prompts, params, strict=True)]

        def one(self, ids: list[int], p: Any) -> Any:
            assert p.ignore_eos
            assert p.logprobs == 0
            assert not p.detokenize
            chosen, logprobs, read = engine.answer(
                ids, p.max_tokens, p.temperature, p.seed, p.stop_token_ids, p.logit_bias or {}
            )
            rows = [{t: SimpleNamespace(logprob=x)} for t, x in zip(chosen, logprobs, strict=True)]
            prompt = [None, *({t: SimpleNamespace(logprob=x)} for t, x in zip(ids[1:], read, strict=True))]
            given = None if p.prompt_logprobs is None else prompt
            return SimpleNamespace(outputs=[SimpleNamespace(token_ids=chosen, logprobs=rows)], prompt_logprobs=given)

    class LoRARequest:
        def __init__(self, name: str, number: int, path: str) -> None:
            self.name, self.number, self.path = name, number, path

    made = {name: ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request")}
    for name, module in made.items():
        module.__spec__ = ModuleSpec(name, None)
    vllm: Any = made["vllm"]
    vllm.LLM, vllm.SamplingParams = LLM, SimpleNamespace
    requests: Any = made["vllm.lora.request"]
    requests.LoRARequest = LoRARequest
    return made


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """vLLM is there, as a module."""
    engine = Engine()
    for name, module in as_module(engine).items():
        monkeypatch.setitem(sys.modules, name, module)
    return engine


class Handler(BaseHTTPRequestHandler):
    """vLLM's interface over HTTP, as far as trueward calls it."""

    protocol_version = "HTTP/1.1"
    engine: Engine
    models: list[str]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/health":
            return self.say({}, 503 if "unwell" in self.engine.faults else 200)
        return self.say({"data": [{"id": name} for name in self.models]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        engine = self.engine
        if self.path == "/v1/completions" and engine.model is not None:
            try:
                engine.die()
            except RuntimeError:
                return self.say({}, 500)
            assert body["model"] == self.models[-1], body["model"]
            bias = {int(token): value for token, value in body.get("logit_bias", {}).items()}
            ids, logprobs, read = engine.answer(
                body["prompt"], body["max_tokens"], body["temperature"], body["seed"], body["stop_token_ids"], bias
            )
            choice: dict[str, Any] = {"token_ids": ids, "logprobs": {"token_logprobs": logprobs}}
            if "plain" in engine.faults:
                del choice["token_ids"]
            if body.get("prompt_logprobs") is not None:
                rows = [{str(t): {"logprob": x}} for t, x in zip(body["prompt"][1:], read, strict=True)]
                choice["prompt_logprobs"] = [None, *rows]
            return self.say({"choices": [choice]})
        if "closed" in engine.faults:
            return self.say({"detail": "Not Found"}, 404)
        if self.path == "/collective_rpc":
            engine.reload(Path(body["kwargs"]["weights_path"]))
        if self.path == "/v1/load_lora_adapter":
            engine.adapt(Path(body["lora_path"]))
            self.models.append(body["lora_name"])
        if self.path == "/v1/unload_lora_adapter":
            engine.calls.append("unload")
            self.models.remove(body["lora_name"])
        return self.say({"success": True} if self.path == "/reset_prefix_cache" else {})

    def say(self, value: dict[str, Any], status: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")  # so that nobody is answered after the server has gone
        self.end_headers()
        with suppress(BrokenPipeError):  # who asked has stopped waiting
            self.wfile.write(text)
        self.close_connection = True


@contextmanager
def serving(engine: Engine, port: int = 0, name: str = "trueward-policy") -> Iterator[str]:
    """The address of a server of this engine, whose weights are loaded already."""
    handler = type("Bound", (Handler,), {"engine": engine, "models": [name]})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
