"""Requests that are refused before their body is read."""

from __future__ import annotations

import uuid

import pytest

from threada_site.kernel import tokens
from threada_site.runtime.web.unread import answers_unread
from workitems.executions.callbacks import callback_id


def test_callback_with_a_signed_id_is_read() -> None:
    signed = callback_id(uuid.uuid4(), uuid.uuid4())
    assert not answers_unread({"PATH_INFO": f"/callbacks/{signed}"})


@pytest.mark.parametrize("name", ["", "x", "a" * 500, "x.y", "../x", "ä"])
def test_callback_with_another_id_is_not_read(name: str) -> None:
    assert answers_unread({"PATH_INFO": f"/callbacks/{name}"})


def test_changed_id_is_not_read() -> None:
    signed = callback_id(uuid.uuid4(), uuid.uuid4())
    assert answers_unread({"PATH_INFO": f"/callbacks/{'B' if signed[0] == 'A' else 'A'}{signed[1:]}"})


def test_call_without_a_well_formed_token_is_not_read() -> None:
    for header in ("", "Basic x", "Bearer", "Bearer thr_x", f"Basic {tokens.new_token()}"):
        assert answers_unread({"PATH_INFO": "/work-items", "HTTP_AUTHORIZATION": header})
    assert not answers_unread({"PATH_INFO": "/work-items", "HTTP_AUTHORIZATION": f"bearer {tokens.new_token()}"})


def test_form_of_a_token_exchange_is_read() -> None:
    assert not answers_unread({"PATH_INFO": "/token"})
    assert answers_unread({"PATH_INFO": "/tokens"})


def test_forms_of_the_console_are_read() -> None:
    assert not answers_unread({"PATH_INFO": "/console/login/"})
