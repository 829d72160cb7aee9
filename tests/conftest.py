"""What every test may ask for: a tenant, people in it, and a client that speaks for one of them."""

from __future__ import annotations
