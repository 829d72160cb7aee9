"""Time and memory that hostile answers of a SAML provider cost."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from collections.abc import Callable

import pytest
from lxml import etree

from tests.receivers.saml_provider import Answer, Request, assertion_in, certificate_of, key_of, sign
from threada_site.kernel.bounded_xml import MOST_BYTES, XmlRefused, read_xml
from threada_site.kernel.errors import SamlSignatureInvalid
from threada_site.sign_in.saml.response import response_of, signed_assertion

REQUEST = Request("id-1", "https://sp.example", "https://sp.example/callback", "state", etree.Element("x"))
SIZE = 4 * 1024 * 1024
HUGE: dict[str, Callable[[], bytes]] = {
    "text": lambda: b"<a>" + b"x" * SIZE + b"</a>",
    "elements": lambda: b"<a>" + b"<b/>" * (SIZE // 4) + b"</a>",
    "depth": lambda: b"<a>" * (SIZE // 7) + b"</a>" * (SIZE // 7),
    "attributes": lambda: b"<a " + b" ".join(b"b%d=''" % n for n in range(SIZE // 12)) + b"/>",
    "namespaces": lambda: b"<a " + b" ".join(b"xmlns:b%d='u'" % n for n in range(SIZE // 18)) + b"/>",
    "entities": lambda: b"<!DOCTYPE a [" + b"<!ENTITY b '%s'>" % (b"x" * SIZE) + b"]><a>&b;</a>",
    "no xml": lambda: b"<" * SIZE,
}


def cpu_seconds_of(call: Callable[[], object]) -> float:
    began = time.thread_time()
    call()
    return time.thread_time() - began


def refused_size(data: bytes) -> int:
    """Return the most bytes that reading `data` allocates until it is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(XmlRefused):
            read_xml(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", HUGE)
def test_four_megabytes_are_refused_before_they_are_read(name: str) -> None:
    assert refused_size(HUGE[name]()) < 16 * 1024


@pytest.mark.parametrize("name", HUGE)
def test_the_largest_hostile_document_costs_little(name: str) -> None:
    data = HUGE[name]()[:MOST_BYTES]
    assert refused_size(data) < 32 * len(data)


def test_the_dearest_answer_costs_as_much_as_some_honest_ones() -> None:
    """An answer of an attacker is verified against every key of the provider: so many digests and no more."""
    keys = [certificate_of(key_of(name)) for name in ("one", "two", "three", "four")]
    answer = Answer(REQUEST)
    honest = answer.form(answer.signed("four"))["SAMLResponse"]

    def fill(assertion: etree._Element) -> None:
        for number in range(60):
            etree.SubElement(assertion, f"{{urn:n{number}}}x", nsmap={f"n{number}": f"urn:n{number}"})
        for number in range(2_000):
            etree.SubElement(assertion, "y", {f"a{n}": "x" for n in range(5)}).text = str(number)

    response = answer.unsigned()
    fill(assertion_in(response))
    sign(assertion_in(response), "other")
    text = answer.form(response)["SAMLResponse"]

    def verify(text: str) -> None:
        with contextlib.suppress(SamlSignatureInvalid):
            signed_assertion(response_of(text), keys)

    verify(honest)
    few = min(cpu_seconds_of(lambda: verify(honest)) for _ in range(5))
    many = min(cpu_seconds_of(lambda: verify(text)) for _ in range(3))
    print(f"honest {few * 1000:.1f} ms, hostile {many * 1000:.1f} ms of {len(text) // 1024} kB")
    assert many < 1.0
