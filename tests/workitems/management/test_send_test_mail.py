"""The operator's first look at whether mail works."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from tests.receivers.mail_server import MailServer, mail_server
from threada_site.environment import mail_server as read_server

__all__ = ["mail_server"]


def test_command_reports_the_result(mail_server: MailServer, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("send_test_mail", "you@example.org")
    ((address, mail),) = mail_server.taken
    assert (address, mail["Subject"]) == ("you@example.org", "Threada: a test")
    assert capsys.readouterr().out == "The mail server has accepted the mail from Threada <threada@localhost>.\n"
    mail_server.refuse_at, mail_server.refusals = "RCPT", ["550 No"]
    with pytest.raises(SystemExit) as ended:
        call_command("send_test_mail", "you@example.org")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "The mail server answers 550. (rejected_by_receiver)\n"


@pytest.mark.parametrize("address", ["nobody", "a@b, c@d", "a@b\nBcc: c@d"])
def test_what_is_no_single_address_is_not_sent(
    address: str, mail_server: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    mail_server.refuse_at = "RCPT"
    mail_server.refusals = ["553 That is none"]
    with pytest.raises(SystemExit):
        call_command("send_test_mail", address)
    assert mail_server.taken == []


def test_without_a_server_it_refuses(settings: object, capsys: pytest.CaptureFixture[str]) -> None:
    settings.MAILERS = {}  # type: ignore[attr-defined]
    with pytest.raises(SystemExit):
        call_command("send_test_mail", "you@example.org")
    assert "THREADA_SMTP_URL" in capsys.readouterr().err


def test_the_address_of_a_server_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(url: str) -> object:
        monkeypatch.setenv("TEST_SMTP_URL", url)
        return read_server("TEST_SMTP_URL")

    plain = {"host": "mail", "port": 25, "username": "", "password": "", "use_ssl": False, "use_tls": False}
    assert read("") is None
    assert read("smtp://mail") == {**plain, "timeout": 20}
    assert read("smtps://us%40er:p%2Fw@mail") == {
        **plain,
        "port": 465,
        "username": "us@er",
        "password": "p/w",
        "use_ssl": True,
        "timeout": 20,
    }
    assert read("smtp+starttls://mail:2525") == {**plain, "port": 2525, "use_tls": True, "timeout": 20}
    for wrong in ("mail.example.org", "http://mail", "smtp://", "smtp://mail:port"):
        with pytest.raises(SystemExit):
            read(wrong)
