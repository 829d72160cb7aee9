"""Transparency log formats: RFC 6962 trees and proofs, C2SP checkpoints, signed notes and proof texts. Pure.

All formats are public. Trees and proofs: RFC 6962 section 2.1 and RFC 9162 section 2.1. Texts:
https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint and https://c2sp.org/tlog-proof.
"""
