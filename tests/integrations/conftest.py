"""Receivers in their own process, for every test below this folder."""

from tests.receivers.fixtures import collector, receiver, tls_receiver

__all__ = ["collector", "receiver", "tls_receiver"]
