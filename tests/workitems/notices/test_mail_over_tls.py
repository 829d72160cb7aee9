"""Mail goes over TLS where the address says so, to a server whose certificate holds, or not at all."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.mail import EmailMultiAlternatives
from pytest_django import Settings

from tests.ports import free_port
from threada_site.environment import mail_server as read_server
from workitems.notices.mail import send_mail
from workitems.notices.rules import SendFailure


class Mails:
    def __init__(self) -> None:
        self.over_tls: list[bool] = []

    async def handle_DATA(self, server: Any, session: Any, _envelope: Any) -> str:  # noqa: N802
        self.over_tls.append(session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None)
        return "250 OK"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Create a self-signed certificate for 127.0.0.1 with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "mail.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


@pytest.fixture(params=["smtps", "smtp+starttls", "smtp"])
def server(
    request: pytest.FixtureRequest, certificate: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Mails]]:
    """Run a server of each kind. Yield the setting for the instance and its mails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    port = free_port()
    options: dict[str, Any] = {
        "smtps": {"ssl_context": context},
        "smtp+starttls": {"tls_context": context, "require_starttls": True},
        "smtp": {},
    }[request.param]
    mails = Mails()
    controller = Controller(mails, hostname="127.0.0.1", port=port, **options)
    controller.start()
    point_to(settings, monkeypatch, f"{request.param}://127.0.0.1:{port}")
    yield request.param, mails
    controller.stop()


def point_to(settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("TEST_SMTP_URL", url)
    settings.MAILERS = {
        "default": {"BACKEND": "workitems.notices.smtp.PhasedBackend", "OPTIONS": read_server("TEST_SMTP_URL")}
    }


def send() -> None:
    send_mail(EmailMultiAlternatives("A test", "Hello", "a@example.org", ["b@example.org"]), before=lambda: None)


def test_a_certificate_that_holds_is_enough(
    server: tuple[str, Mails], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, mails = server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    send()
    assert mails.over_tls == [kind != "smtp"]


def test_a_certificate_that_does_not_hold_is_not(server: tuple[str, Mails]) -> None:
    kind, mails = server
    if kind == "smtp":
        return
    with pytest.raises(SendFailure, match="SSLCertVerificationError") as failed:
        send()
    assert (failed.value.failure, failed.value.is_ambiguous) == ("connection_refused", False)
    assert mails.over_tls == []


def test_nothing_is_sent_in_the_clear_instead(
    server: tuple[str, Mails], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not speak TLS where the address says so gets no mail."""
    kind, mails = server
    if kind != "smtp":
        return
    port = settings.MAILERS["default"]["OPTIONS"]["port"]
    for scheme in ("smtps", "smtp+starttls"):
        point_to(settings, monkeypatch, f"{scheme}://127.0.0.1:{port}")
        settings.MAILERS["default"]["OPTIONS"]["timeout"] = 2
        with pytest.raises(SendFailure) as failed:
            send()
        assert failed.value.failure in ("connection_refused", "timeout")
    assert mails.over_tls == []
