"""Small logs for tests: all nodes in a dictionary, and the test vectors of the certificate transparency project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from telemetry.tlog.checkpoint import Checkpoint
from telemetry.tlog.hashing import leaf_hash
from telemetry.tlog.note import Signer
from telemetry.tlog.proof_text import TlogProof
from telemetry.tlog.proofs import consistency_proof, inclusion_proof, tree_root
from telemetry.tlog.tree import CompactRange, NodeId

ORIGIN = "threada.test/tn_01kb4x0000000000000000000"


def key(seed: int = 1) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


@dataclass
class Log:
    """A log in memory, built like the sealer's: append leaves, store completed nodes."""

    tree: CompactRange = field(default_factory=CompactRange)
    nodes: dict[NodeId, bytes] = field(default_factory=dict)
    entries: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, entries: Sequence[bytes]) -> Log:
        log = cls()
        for entry in entries:
            log.append(entry)
        return log

    def append(self, entry: bytes) -> None:
        self.entries.append(entry)
        self.nodes.update(self.tree.append(leaf_hash(entry)))

    def read(self, nodes: Sequence[NodeId]) -> Mapping[NodeId, bytes]:
        return {node: self.nodes[node] for node in nodes}

    def root(self, size: int) -> bytes:
        return tree_root(size, self.read)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        return inclusion_proof(index, size, self.read)

    def consistency(self, old_size: int, size: int) -> list[bytes]:
        return consistency_proof(old_size, size, self.read)

    def checkpoint(self, size: int | None = None, *, origin: str = ORIGIN) -> Checkpoint:
        size = self.tree.size if size is None else size
        return Checkpoint(origin, size, self.root(size))

    def proof(self, index: int, size: int, *, signer: Signer) -> TlogProof:
        note = self.checkpoint(size, origin=signer.verifier_key.name).sign([signer])
        return TlogProof(index, tuple(self.inclusion(index, size)), note)


# https://github.com/transparency-dev/merkle (testonly/constants.go): leaves, roots after each, two proofs of each kind.
RFC6962_LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
RFC6962_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
RFC6962_INCLUSION = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
RFC6962_CONSISTENCY = {
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
