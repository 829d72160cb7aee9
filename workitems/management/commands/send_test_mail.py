from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from threada_site.tenancy.management.base import ProductCommand
from workitems.notices.mail import mail_is_set_up, send_mail
from workitems.notices.rendering import test_mail
from workitems.notices.rules import SendFailure


class Command(ProductCommand):
    help = "Send one test mail through the server of THREADA_SMTP_URL and print the result."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", help="recipient of the mail")

    def run_command(self, **options: Any) -> None:
        if not mail_is_set_up():
            self.refuse("THREADA_SMTP_URL is not set. Set it to send mail.")
        try:
            send_mail(test_mail(options["address"]), before=lambda: None)
        except SendFailure as failure:
            self.refuse(f"{failure.detail} ({failure.failure})")
        self.stdout.write(f"The mail server has accepted the mail from {settings.DEFAULT_FROM_EMAIL}.")
