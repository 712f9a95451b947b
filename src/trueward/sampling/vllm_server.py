"""A vLLM server at an address, with vLLM's own interface over HTTP. Weights go to it through a directory that both see.

It has to be started with `VLLM_SERVER_DEV_MODE=1`, which opens the calls that load weights and empty the cache, so it belongs
on a network that nobody else is on.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trueward.sampling.vllm_calls import EngineLostError, TokenAnswer, TokenRequest, checked
from trueward.sampling.vllm_colocated import ADAPTER, EngineRoom

ROOT = "trueward-policy"  # the name that the served model goes by
AT_ONCE = 64  # requests under way; the server batches them
AGAIN = 0.5  # seconds between two looks whether a server is there
TOP_SEED = 2**31


class VllmServer:
    """address: of the server, without a path. timeout: seconds for one call, and until the server is there.

    tell: is told what one should start, or is waited for.
    """

    is_shared = True

    def __init__(self, address: str, room: EngineRoom, timeout: float, tell: Callable[[str], None]) -> None:
        import httpx2

        self.address, self.room, self.timeout, self.tell = address.rstrip("/"), room, timeout, tell
        self.served = ROOT
        self.client = httpx2.Client(
            timeout=timeout,
            headers={"Content-Type": "application/json"},
            limits=httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE),
            trust_env=False,
        )

    def start(self, folder: Path) -> None:
        """Wait until it is there. `ValueError` that says how to start it if it isn't in `timeout` seconds."""
        self.served = ROOT
        until, is_told = time.monotonic() + self.timeout, False
        while not self._is_there():
            if time.monotonic() >= until:
                raise ValueError(
                    f"sampler.engine.address: no vLLM answers at {self.address} after {self.timeout:g} seconds; start one "
                    f"with: {self.command(folder)}"
                )
            if not is_told:
                self.tell(f"waiting for a vLLM at {self.address}: {self.command(folder)}")
                is_told = True
            time.sleep(min(AGAIN, self.timeout / 4))
        names = [str(row.get("id")) for row in self._get("/v1/models").get("data", [])]
        if ROOT not in names:
            raise ValueError(
                f"sampler.engine.address: the server at {self.address} serves {', '.join(names) or 'nothing'}, not "
                f"{ROOT}; start it with: {self.command(folder)}"
            )

    def command(self, folder: Path) -> str:
        """The command that starts a server for this run."""
        room, host, port = self.room, *_host_and_port(self.address)
        arguments = [
            "vllm", "serve", str(folder), "--served-model-name", ROOT, "--host", host, "--port", port,
            "--dtype", str(room.dtype).removeprefix("torch."), "--max-model-len", str(room.longest),
            "--logprobs-mode", "processed_logprobs", "--generation-config", "vllm",
        ]  # fmt: skip
        before = "VLLM_SERVER_DEV_MODE=1 "
        if room.adapter_rank:
            before += "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 "
            arguments += ["--enable-lora", "--max-lora-rank", str(room.adapter_room()), "--max-loras", "1"]
        return before + shlex.join(arguments)

    def load(self, folder: Path) -> None:
        """As `Vllm`. A server that has been restarted since is told in the same way."""
        self._post("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
        self._forget_prefixes()

    def load_adapter(self, folder: Path, version: int) -> None:
        """As `Vllm`. The one before is dropped."""
        before, fresh = self.served, f"{ADAPTER}-{version}-{time.time_ns()}"
        self._post("/v1/load_lora_adapter", {"lora_name": fresh, "lora_path": str(folder)})
        if before != ROOT:
            self._post("/v1/unload_lora_adapter", {"lora_name": before})
        self.served = fresh
        self._forget_prefixes()

    def _forget_prefixes(self) -> None:
        if self._post("/reset_prefix_cache", {}).get("success") is False:
            raise ValueError("vLLM keeps the states of the old weights: its prefix cache can't be emptied")

    def generate(self, requests: Sequence[TokenRequest]) -> list[TokenAnswer]:
        """As `Vllm`: a call for each request, since each has a seed of its own."""
        with ThreadPoolExecutor(max(1, min(AT_ONCE, len(requests)))) as pool:
            return checked(requests, list(pool.map(self._answer, requests)))

    def sleep(self) -> None:
        """Nothing: its memory is its own."""

    def close(self) -> None:
        """The server goes on; only the connections to it end."""
        self.client.close()

    def _answer(self, request: TokenRequest) -> TokenAnswer:
        body: dict[str, Any] = {
            "model": self.served,
            "prompt": list(request.ids),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed % TOP_SEED,
            "stop_token_ids": list(request.stops),
            "ignore_eos": True,
            "logprobs": 1,
            "return_token_ids": True,
            "skip_special_tokens": False,
        }
        if request.bias:
            body["logit_bias"] = {str(token): value for token, value in request.bias.items()}
        if request.reads_prompt:
            body["prompt_logprobs"] = 1
        try:
            choice = self._post("/v1/completions", body)["choices"][0]
            ids, logprobs = choice["token_ids"], choice["logprobs"]["token_logprobs"]
            rows = choice.get("prompt_logprobs") or []
            pairs = zip(request.ids[1:], rows[1:], strict=True) if request.reads_prompt else ()
            read = [float(each[str(token)]["logprob"]) for token, each in pairs]
            return TokenAnswer([int(token) for token in ids], [float(each) for each in logprobs], read)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            if str(error).startswith("vLLM"):
                raise
            raise ValueError(
                f"vLLM at {self.address} answers without token ids and log-probs of each ({type(error).__name__}: {error}); "
                "trueward is tested with vLLM 0.32"
            ) from None

    def _is_there(self) -> bool:
        import httpx2

        try:
            return int(self.client.get(self.address + "/health", timeout=5.0).status_code) == 200
        except httpx2.HTTPError:
            return False

    def _get(self, path: str) -> dict[str, Any]:
        return self._called("GET", path, None)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._called("POST", path, body)

    def _called(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        import httpx2

        try:
            response = self.client.request(method, self.address + path, json=body)
        except httpx2.TimeoutException:
            raise ValueError(
                f"vLLM at {self.address} has not answered {path} in {self.timeout:g} seconds; if that is too short, raise "
                "sampler.engine.timeout"
            ) from None
        except httpx2.HTTPError as error:
            raise EngineLostError(f"vLLM at {self.address} is gone ({type(error).__name__} from {path})") from None
        if response.status_code >= 500:
            raise EngineLostError(f"vLLM at {self.address} fails with {response.status_code} at {path}")
        if response.status_code == 404 and not path.startswith("/v1/completions"):
            raise ValueError(
                f"vLLM at {self.address} has no {path}: start it with VLLM_SERVER_DEV_MODE=1, and with adapters "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
            )
        if response.status_code >= 400:
            raise ValueError(f"vLLM at {self.address} refuses {path}: {response.text.strip()[:300]}")
        try:
            value = response.json()
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


def _host_and_port(address: str) -> tuple[str, str]:
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    return parts.hostname or "127.0.0.1", str(parts.port or (443 if parts.scheme == "https" else 80))
