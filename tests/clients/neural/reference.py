"""llama.cpp, the reference implementation, as a server inside this process (package `xllamacpp`)."""

import json
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import xllamacpp


class Server:
    """llama.cpp's HTTP server with one model."""

    def __init__(self, inner: xllamacpp.Server) -> None:
        self.inner = inner

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body).encode()
        request = urllib.request.Request(
            self.inner.listening_address + path, data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def tokenize(self, text: str, bos: bool, special: bool) -> list[int]:
        return self.post("/tokenize", {"content": text, "add_special": bos, "parse_special": special})["tokens"]

    def render(self, messages: list[dict], **more: Any) -> str | None:
        """The prompt that the model's template makes of messages; `None` where the template refuses them."""
        try:
            return self.post("/apply-template", {"messages": messages, **more})["prompt"]
        except urllib.error.HTTPError as error:
            if error.code in (400, 500):
                return None
            raise

    def complete(self, prompt: list[int] | str, tokens: int, *, probabilities: int = 0, ends: bool = False) -> dict:
        """The greedy continuation; `ends`: it may stop by itself."""
        body = {
            "prompt": prompt,
            "n_predict": tokens,
            "temperature": 0,
            "ignore_eos": not ends,
            "return_tokens": True,
            "n_probs": probabilities,
            "cache_prompt": False,
        }
        return self.post("/completion", body)


@contextmanager
def server(
    path: Path, *, flash: bool = True, kv: str = "f16", threads: int = 1, context: int = 2048
) -> Iterator[Server]:
    """Loads a model; frees it at the end."""
    kinds = {"f16": xllamacpp.ggml_type.GGML_TYPE_F16, "f32": xllamacpp.ggml_type.GGML_TYPE_F32}
    attention = xllamacpp.llama_flash_attn_type
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx = context
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.warmup = False
    parameters.verbosity = 0
    parameters.fit_params = False
    parameters.cache_ram_mib = 0
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.cache_type_k = parameters.cache_type_v = kinds[kv]
    parameters.flash_attn_type = (
        attention.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else attention.LLAMA_FLASH_ATTN_TYPE_DISABLED
    )
    inner = xllamacpp.Server(parameters)
    try:
        yield Server(inner)
    finally:
        del inner
