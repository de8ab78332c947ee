"""aigate judged by the official OpenAI SDK for Python, unchanged.

`cargo xtask test` runs this suite against a gateway whose providers are the simulated clouds:

    python3 -m venv VENV && VENV/bin/pip install -r tests/clients/python/requirements.txt
    AIGATE_URL=http://127.0.0.1:4000 AIGATE_KEY=... \\
    AIGATE_MODELS=google=chat-google/embed-google,aws=chat-aws/embed-aws \\
    AIGATE_SIM_STATS=http://127.0.0.1:4900/stats \\
        VENV/bin/python -B -m pytest tests/clients/python

`AIGATE_MODELS` names a chat and an embedding model for each kind of provider (google, gemini, aws, azure, azure-dated,
foundry, openai); every test with a `kind` runs for each. Beside each chat model the config has `NAME-busy` (throttled
every time) and `NAME-missing` (unknown to the provider). `AIGATE_SIM_STATS` answers what the simulated clouds see of
cancelled requests. What each kind can do stands in `../kinds.json`.
"""

from collections.abc import Iterator

import pytest
from openai import OpenAI

import gateway


def pytest_configure(config: pytest.Config) -> None:
    missing = gateway.missing_variables()
    if missing:
        raise pytest.UsageError(f"set {', '.join(missing)}: see the top of tests/clients/python/conftest.py")
    try:
        gateway.kinds()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        only_translated = metafunc.definition.get_closest_marker("translated") is not None
        kinds = [kind for kind in gateway.kinds() if kind.translated or not only_translated]
        metafunc.parametrize("kind", kinds, ids=[kind.name for kind in kinds])


@pytest.fixture(scope="session")
def client() -> Iterator[OpenAI]:
    """A client as callers make it, but without retries: they would hide failures."""
    with OpenAI(base_url=gateway.url("/v1"), api_key=gateway.key(), max_retries=0, timeout=10) as client:
        yield client
