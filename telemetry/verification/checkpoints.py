"""Verification of the signed checkpoints of a log: those in the database, and those archived outside of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from telemetry.tlog.checkpoint import CLOCKS_DIFFER, COMPLETE_AFTER, Checkpoint
from telemetry.tlog.cosignature import cosigned_at
from telemetry.tlog.note import SignedNote, UntrustedNote, VerifierKey
from telemetry.tlog.texts import MalformedText
from telemetry.tlog.tree import CompactRange
from telemetry.verification.findings import Finding
from telemetry.verification.snapshot import stream
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.tenancy.models import Tenant

if TYPE_CHECKING:
    from telemetry.verification.log import VerificationStats

_NEWEST_FIRST: Final = """
SELECT id, size, root, note, verifier_keys FROM telemetry_checkpoint WHERE tenant_id = %s ORDER BY id DESC
"""
_OLDEST_FIRST: Final = """
SELECT id, size, root, note FROM telemetry_checkpoint
 WHERE tenant_id = %s AND split_part(note, chr(10), 1) = %s ORDER BY size, id
"""
_NODES: Final = """
SELECT "index", hash FROM telemetry_lognode WHERE tenant_id = %s AND level = %s ORDER BY "index"
"""
_SECOND: Final = timedelta(seconds=1)
"""A cosignature states its time in whole seconds."""
_EARLIER: Final = "are of an earlier log, from before an operator acknowledged it."
_ELSEWHERE: Final = "were signed by the instance that the tenant was imported from."


@dataclass(frozen=True, slots=True)
class LogQueries:
    """Name of a log in findings, noun for its leaves, and the queries of its checkpoints and stored nodes."""

    name: str
    things: str
    newest_first: str
    oldest_first: str
    nodes: str
    parameters: tuple[Any, ...] = ()


def tenant_log_queries(tenant: Tenant) -> LogQueries:
    """Return the queries of a tenant's log."""
    return LogQueries(tenant.slug, "receipts", _NEWEST_FIRST, _OLDEST_FIRST, _NODES, (tenant.id,))


@dataclass(frozen=True, slots=True)
class ArchivedCheckpoint:
    """A checkpoint stored outside the database, with its signed note. Without a note, the location is trusted."""

    checkpoint: Checkpoint
    note: SignedNote | None = None


@dataclass(frozen=True, slots=True)
class ImportedLogs:
    """Public keys of the logs of other instances from which the tenant was imported, by origin."""

    keys: Mapping[str, Sequence[VerifierKey]] = field(default_factory=dict)

    def signed(self, note: SignedNote, checkpoint: Checkpoint) -> bool:
        """Return True if the note is a checkpoint of such a log."""
        return any(
            key.signed(note.text, one.value) for key in self.keys.get(checkpoint.origin, ()) for one in note.signatures
        )


class CheckpointComparison:
    """Comparison of the signed checkpoints of one log with the tree while it grows.

    `imported`: logs of other instances that this log continues. Their newest checkpoint is compared too. `continued`:
    number of receipts from before an operator continued the log, by origin. Checkpoints of that origin say nothing
    about the times of those receipts.
    """

    def __init__(
        self,
        rows: LogQueries,
        *,
        older: Sequence[ArchivedCheckpoint],
        imported: ImportedLogs | None = None,
    ) -> None:
        self._rows = rows
        self.continued: Mapping[str, int] = {}
        self._imported = imported or ImportedLogs()
        self._things = rows.things
        self._kept = older
        self._older: list[Checkpoint] = []
        self._origin: str | None = None
        self._signed: Iterator[tuple[Any, ...]] = iter(())
        self._ahead: tuple[Any, ...] | None = None
        self._agreed = 0
        self._is_broken = False
        self._complete_until: datetime | None = None
        self._latest: datetime | None = None
        self.count = 0
        self.trusted_keys: list[bytes] = []
        self.signed_from: int | None = None

    def check_signatures(self, keys: Sequence[VerifierKey], *, stats: VerificationStats) -> Iterator[Finding]:
        """Verify every stored checkpoint, newest first: signature by a trusted key, and columns equal to the note.

        A key that signed a checkpoint together with a trusted key is trusted for older checkpoints, which follows key
        rotations. Checkpoints of an earlier log, before an acknowledged break, are counted separately.
        """
        trusted = {key.public_key: key for key in keys}
        earlier = elsewhere = 0
        for checkpoint_id, size, root, text, listed in stream(self._rows.newest_first, self._rows.parameters):
            where = f"checkpoint {ids.public_id(ids.CHECKPOINT, checkpoint_id)} of {size} {self._things}"
            try:
                note = SignedNote.parse(text)
                checkpoint = Checkpoint.parse(note.text)
                named = [VerifierKey.parse(key) for key in listed]
                if not trusted and self._origin is None:
                    trusted = {key.public_key: key for key in named}
                    stats.notes.append("The keys are the ones the database names. Say --key to trust your own.")
                if self._origin not in (None, checkpoint.origin) and self._imported.signed(note, checkpoint):
                    elsewhere += 1
                    self._compare_later(checkpoint)
                    continue
                mine = [VerifierKey(checkpoint.origin, public) for public in trusted]
                signers = note.verified_by(mine)
                if others := [key for key in named if key.public_key not in trusted]:
                    trusted.update({key.public_key: key for key in note.verified_by([*mine, *others])})
            except (MalformedText, UntrustedNote) as error:
                yield self._finding("checkpoint_unsigned", f"{where}: {error}")
                continue
            if self._origin is None:
                self._origin, self.signed_from = checkpoint.origin, checkpoint.signed_from
                stats.signed_by = sorted(key.key_id.hex() for key in signers)
            if (checkpoint.size, checkpoint.root) != (size, bytes(root)):
                yield self._finding("checkpoint_differs", f"{where}: its columns are not what was signed")
            earlier += checkpoint.origin != self._origin
        stats.notes += [
            f"{number} checkpoints {what}" for number, what in ((earlier, _EARLIER), (elsewhere, _ELSEWHERE)) if number
        ]
        if self._origin is not None:
            self._signed = stream(self._rows.oldest_first, [*self._rows.parameters, self._origin])
            self._ahead = next(self._signed, None)
        self.trusted_keys = list(trusted)
        yield from self._checked_older([VerifierKey("", public) for public in trusted])

    def _compare_later(self, checkpoint: Checkpoint) -> None:
        """Keep the largest imported checkpoint of each log, to compare it with the tree."""
        others = [kept for kept in self._older if kept.origin != checkpoint.origin or kept.size > checkpoint.size]
        has_larger = any(kept.origin == checkpoint.origin for kept in others)
        self._older = others if has_larger else [*others, checkpoint]

    def _checked_older(self, trusted: Sequence[VerifierKey]) -> Iterator[Finding]:
        """Keep the archived checkpoints that belong to this log and have a valid signature."""
        for kept in self._kept:
            checkpoint = kept.checkpoint
            what = f"the older checkpoint of {checkpoint.size} {self._things}"
            try:
                if kept.note is not None:
                    kept.note.verified_by([VerifierKey(checkpoint.origin, key.public_key) for key in trusted])
            except UntrustedNote as error:
                yield self._finding("older_checkpoint_unusable", f"{what}: {error}")
                continue
            if self._origin is not None and checkpoint.origin != self._origin:
                yield self._finding(
                    "another_log", f"{what} is of {checkpoint.origin}, and the log is {self._origin} now"
                )
                continue
            self._older.append(checkpoint)
        self._older.sort(key=lambda checkpoint: checkpoint.size)

    def compare_at(self, tree: CompactRange) -> Iterator[Finding]:
        """Compare the checkpoints of the tree's current size with its root."""
        while self._ahead is not None and self._ahead[1] <= tree.size:
            checkpoint_id, size, root, note = self._ahead
            self._ahead = next(self._signed, None)
            self.count += 1
            yield from self._check_time_of(note, f"checkpoint {ids.public_id(ids.CHECKPOINT, checkpoint_id)}")
            if bytes(root) == tree.root():
                self._agreed = size
            elif not self._is_broken:
                self._is_broken = True  # all later checkpoints cover the same leaf
                yield self._finding(
                    "root_differs",
                    f"the first {size} {self._things} are not the ones that checkpoint "
                    f"{ids.public_id(ids.CHECKPOINT, checkpoint_id)} was signed over; the first {self._agreed} are",
                    sequence=self._agreed,
                )
        while self._older and self._older[0].size <= tree.size:
            checkpoint = self._older.pop(0)
            if checkpoint.origin == self._origin:
                self._complete_until = _later(self._complete_until, checkpoint.complete_until)
            if checkpoint.root != tree.root():
                yield self._finding(
                    "forked",
                    f"forked: its first {checkpoint.size} {self._things} are not the ones that were sealed then",
                )

    def check_time(self, receipt_id: uuid.UUID, *, sequence: int) -> Iterator[Finding]:
        """Compare the time of the next receipt with the times of the checkpoints before it."""
        occurred_at = ids.instant_of(receipt_id)
        if self._origin is None or sequence >= self.continued.get(self._origin, 0):
            self._latest = _later(self._latest, occurred_at)
        if self._complete_until is not None and occurred_at < self._complete_until:
            until = rfc3339(self._complete_until)
            message = (
                f"of {rfc3339(occurred_at)}, and a checkpoint before it says that the log was complete until {until}"
            )
            receipt = ids.public_id(ids.RECEIPT, receipt_id)
            yield Finding(self._rows.name, "sealed_too_late", message, sequence=sequence, receipt=receipt)

    def _check_time_of(self, note: str, named: str) -> Iterator[Finding]:
        """Compare the line complete-until with that of the checkpoint before, and with the receipts until here."""
        try:
            signed = SignedNote.parse(note)
            until = Checkpoint.parse(signed.text).complete_until
        except MalformedText:
            return  # reported with the signatures
        if until is None:
            return
        before, latest, self._latest = self._complete_until, self._latest, None
        at = cosigned_at(signed)
        if before is not None and until < before:
            message = f"{named} says complete-until {rfc3339(until)}, and an older one {rfc3339(before)}"
            yield self._finding("time_goes_back", message)
        elif at is not None and until >= at + _SECOND - COMPLETE_AFTER and until != before:
            message = f"{named} of {rfc3339(at)} says complete-until {rfc3339(until)}, which is too late"
            yield self._finding("time_ahead", message)
        if at is not None and latest is not None and latest >= at + _SECOND + CLOCKS_DIFFER:
            message = f"{named} of {rfc3339(at)} covers a receipt of {rfc3339(latest)}"
            yield self._finding("sealed_too_early", message)
        self._complete_until = _later(before, until)

    def report_unreached(self, tree: CompactRange) -> Iterator[Finding]:
        """Yield findings for checkpoints that cover more leaves than exist."""
        while self._ahead is not None:
            checkpoint_id, size, *_ = self._ahead
            self._ahead = next(self._signed, None)
            self.count += 1
            if self._ahead is None:  # only the largest checkpoint is reported
                named = ids.public_id(ids.CHECKPOINT, checkpoint_id)
                message = f"checkpoint {named} was signed over {size} {self._things}, and the log has {tree.size}"
                yield self._finding("leaf_missing", message, sequence=tree.size)
        for checkpoint in self._older[-1:]:
            message = f"rolled back: {checkpoint.size} {self._things} were sealed then, and the log has {tree.size} now"
            yield self._finding("rolled_back", message, sequence=tree.size)

    def _finding(self, code: str, message: str, sequence: int | None = None) -> Finding:
        return Finding(self._rows.name, code, message, sequence=sequence)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((at for at in (one, other) if at is not None), default=None)
