"""Simultaneous submissions of one form, on connections of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from tests.console.portal.forms import FORM, stored, token_of
from tests.console.sign_in import sign_in
from tests.journeys.demo import seeded_demo
from threada_site.tenancy.models import User

pytestmark = [pytest.mark.adversarial, pytest.mark.django_db(transaction=True)]


def test_a_form_that_is_sent_twice_at_once_makes_one_request() -> None:
    demo = seeded_demo()
    demo.join("rita", roles=("requester",))
    browser = sign_in(User.objects.get(username="rita"))
    cookies = browser.cookies
    for _round in range(3):
        before = stored(demo)
        token = token_of(browser)
        sent = {"_token": token, "p/vendor": "Hooli", "p/amount_minor": "900", "p/invoice": "", "_send": "1"}

        def post(_number: int, sent: dict[str, Any] = sent) -> str:
            own = Client()
            own.cookies = cookies
            try:
                answer = own.post(FORM, sent)
                assert answer.status_code == 302, answer.content.decode()[-2000:]
                return str(answer["Location"])
            finally:
                connections.close_all()

        with ThreadPoolExecutor(6) as pool:
            places = set(pool.map(post, range(6)))
        assert len(places) == 1
        assert stored(demo) == (before[0] + 1, before[1] + 1)
