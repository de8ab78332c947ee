"""The cache folder judged by `huggingface_hub`: it reads what aigate pulled, aigate reads what it fetched.

Both talk to a stand-in of the Hub on loopback. By hand:

    python3 -m venv VENV && VENV/bin/pip install pytest huggingface_hub
    AIGATE_BIN=target/debug/aigate VENV/bin/python -B -m pytest --noconftest tests/clients/neural/test_hub.py
"""

import fcntl
import hashlib
import http.server
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

huggingface_hub = pytest.importorskip("huggingface_hub")

PROGRAM = os.environ.get("AIGATE_BIN", "")
REPOSITORY = "o/r"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = "dir/model.gguf"
FILES = {
    "config.json": b'{"model_type": "bert"}',
    "1_Pooling/config.json": b"{}",
    "modules.json": b"[]",
    "model.safetensors": bytes(range(256)) * 300,
    LARGE: os.urandom(200_000),
}

pytestmark = pytest.mark.skipif(not PROGRAM, reason="AIGATE_BIN is not set: there is no program to judge")


def is_large(name: str) -> bool:
    return name.endswith((".gguf", ".safetensors"))


def etag(name: str) -> str:
    content = FILES[name]
    if is_large(name):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    """The parts of the Hub that fetching needs: a revision, its tree, a file."""

    protocol_version = "HTTP/1.1"
    fetched: list[str] = []

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.split("?")[0]
        if re.fullmatch(f"/api/models/{REPOSITORY}(/revision/(main|{COMMIT}))?", path):
            siblings = [{"rfilename": name, "size": len(content)} for name, content in FILES.items()]
            return self.send(json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}).encode())
        if path == f"/api/models/{REPOSITORY}/tree/{COMMIT}":
            return self.send(json.dumps([tree(name) for name in FILES]).encode())
        file = re.fullmatch(f"/{REPOSITORY}/resolve/(main|{COMMIT})/(.+)", path)
        if file and file[2] in FILES:
            return self.send_file(file[2])
        if path.startswith("/cdn/"):
            name = path.removeprefix("/cdn/")
            Hub.fetched.append(name)
            return self.send(FILES[name], {"ETag": '"of-the-cdn"'})
        return self.send(b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, 404)

    def send_file(self, name: str) -> None:
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag(name)}"'}
        if is_large(name):
            headers |= {"X-Linked-Etag": f'"{etag(name)}"', "X-Linked-Size": str(len(FILES[name]))}
            headers |= {"ETag": '"of-the-redirect"', "Location": f"http://localhost:{self.server.server_port}/cdn/{name}"}
            return self.send(b"", headers, 302)
        if self.command == "GET":
            Hub.fetched.append(name)
        return self.send(FILES[name], headers)

    def send(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if status == 200 else None
        headers = dict(headers or {})
        if start:
            status, whole = 206, len(body)
            body = body[int(start[1]) :]
            headers["Content-Range"] = f"bytes {start[1]}-{whole - 1}/{whole}"
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def tree(name: str) -> dict:
    entry = {"type": "file", "path": name, "size": len(FILES[name]), "oid": etag(name)}
    if is_large(name):
        entry["lfs"] = {"oid": etag(name), "size": len(FILES[name]), "pointerSize": 100}
    return entry


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def variables(cache: Path, endpoint: str) -> dict[str, str]:
    return os.environ | {"HF_HUB_CACHE": str(cache), "HF_ENDPOINT": endpoint, "NO_PROXY": "*"}


def aigate(cache: Path, endpoint: str, *words: str, code: int = 0, **more: str) -> str:
    command = [PROGRAM, "model", *words]
    done = subprocess.run(command, env=variables(cache, endpoint) | more, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_library_reads_offline_what_aigate_pulled(tmp_path: Path, endpoint: str) -> None:
    path = aigate(tmp_path, endpoint, "pull", f"hf:{REPOSITORY}", LARGE).strip()
    assert Path(path).read_bytes() == FILES[LARGE]
    found = huggingface_hub.hf_hub_download(REPOSITORY, LARGE, cache_dir=tmp_path, local_files_only=True)
    assert found == path

    (repository,) = huggingface_hub.scan_cache_dir(tmp_path).repos
    (revision,) = repository.revisions
    assert (repository.repo_id, revision.commit_hash, revision.refs) == (REPOSITORY, COMMIT, {"main"})
    assert {file.file_name: file.size_on_disk for file in revision.files} == {"model.gguf": 200_000}


def test_the_library_fetches_nothing_that_aigate_pulled(tmp_path: Path, endpoint: str) -> None:
    aigate(tmp_path, endpoint, "pull", f"hf:{REPOSITORY}", "config.json")
    aigate(tmp_path, endpoint, "pull", f"hf:{REPOSITORY}", LARGE)
    Hub.fetched.clear()
    for name in ("config.json", LARGE):
        huggingface_hub.hf_hub_download(REPOSITORY, name, cache_dir=tmp_path, endpoint=endpoint)
    assert Hub.fetched == []
    folder = huggingface_hub.snapshot_download(
        REPOSITORY, cache_dir=tmp_path, endpoint=endpoint, allow_patterns=["config.json", "modules.json"]
    )
    assert Hub.fetched == ["modules.json"]
    assert (Path(folder) / "config.json").read_bytes() == FILES["config.json"]


def test_aigate_finds_what_the_library_fetched(tmp_path: Path, endpoint: str) -> None:
    path = huggingface_hub.hf_hub_download(REPOSITORY, LARGE, cache_dir=tmp_path, endpoint=endpoint)
    Hub.fetched.clear()
    offline = aigate(tmp_path, endpoint, "pull", f"hf:{REPOSITORY}", LARGE, HF_HUB_OFFLINE="1").strip()
    assert offline == path
    assert aigate(tmp_path, endpoint, "pull", f"hf:{REPOSITORY}", LARGE).strip() == path
    assert Hub.fetched == []
    # Its bytes are no model.
    aigate(tmp_path, endpoint, "show", f"hf:{REPOSITORY}", LARGE, code=1)
    (listed,) = json.loads(aigate(tmp_path, endpoint, "list", "--json"))["models"]
    assert (listed["reference"], listed["kind"], listed["size"]) == (f"hf:{REPOSITORY}/{LARGE}", "gguf", 200_000)
    assert (listed["path"], listed["commit"]) == (path, COMMIT)


def test_what_aigate_removes_is_gone_for_the_library(tmp_path: Path, endpoint: str) -> None:
    huggingface_hub.hf_hub_download(REPOSITORY, LARGE, cache_dir=tmp_path, endpoint=endpoint)
    huggingface_hub.hf_hub_download(REPOSITORY, "config.json", cache_dir=tmp_path, endpoint=endpoint)
    said = aigate(tmp_path, endpoint, "rm", "--yes", f"hf:{REPOSITORY}", LARGE)
    assert "1 file removed, 200.0 kB freed" in said
    assert huggingface_hub.try_to_load_from_cache(REPOSITORY, LARGE, cache_dir=tmp_path) is None
    assert huggingface_hub.try_to_load_from_cache(REPOSITORY, "config.json", cache_dir=tmp_path)
    aigate(tmp_path, endpoint, "rm", f"hf:{REPOSITORY}", code=2)
    aigate(tmp_path, endpoint, "rm", "--yes", f"hf:{REPOSITORY}")
    aigate(tmp_path, endpoint, "rm", "--yes", f"hf:{REPOSITORY}", code=1)
    assert huggingface_hub.scan_cache_dir(tmp_path).repos == frozenset()


def test_aigate_waits_for_the_lock_that_the_library_takes(tmp_path: Path, endpoint: str) -> None:
    huggingface_hub.hf_hub_download(REPOSITORY, LARGE, cache_dir=tmp_path / "theirs", endpoint=endpoint)
    (lock,) = (tmp_path / "theirs" / ".locks").rglob("*.lock")
    lock = tmp_path / "ours" / lock.relative_to(tmp_path / "theirs")
    lock.parent.mkdir(parents=True)
    Hub.fetched.clear()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        environment = variables(tmp_path / "ours", endpoint)
        command = [PROGRAM, "model", "pull", f"hf:{REPOSITORY}", LARGE]
        waiting = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert "waiting for it" in waiting.stderr.readline()
        assert Hub.fetched == []
    waiting.communicate(timeout=30)
    assert waiting.returncode == 0
    assert Hub.fetched == [LARGE]
