"""Receivers in their own process, for every test below this folder."""

from tests.receivers.fixtures import receiver, tls_receiver

__all__ = ["receiver", "tls_receiver"]
