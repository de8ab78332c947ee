"""The list of models."""

import openai
import pytest
from openai import OpenAI

from gateway import Kind


def test_all_models_are_listed(client: OpenAI, kind: Kind):
    models = {model.id: model for model in client.models.list()}
    for name in (kind.chat, kind.embed, kind.busy, kind.missing):
        assert models[name].object == "model"


def test_a_model_is_found_by_name(client: OpenAI, kind: Kind):
    for name in (kind.chat, kind.embed):
        model = client.models.retrieve(name)
        assert (model.id, model.object) == (name, "model")
        assert model.owned_by and model.created is not None


def test_an_unknown_model_is_not_found(client: OpenAI):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.models.retrieve("no-such-model")
    assert "no-such-model" in unknown.value.message
