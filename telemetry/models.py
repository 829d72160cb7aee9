"""All models of this app, for Django."""

from __future__ import annotations

from telemetry.deliveries.models import Delivery, DeliveryAttempt
from telemetry.exports.models import TelemetryExport
from telemetry.inclusion_promises.models import InclusionPromiseKey
from telemetry.instance_log.models import (
    InstanceAlarm,
    InstanceCheckpoint,
    InstanceEntry,
    InstanceNode,
    InstanceQueueEntry,
)
from telemetry.log.models import (
    Checkpoint,
    CheckpointTarget,
    LogAlarm,
    LogLeaf,
    LogNode,
    QuarantineCount,
    QuarantinedReceipt,
)
from telemetry.receipts.account_models import AccountEvent, SignInFailures
from telemetry.receipts.models import Receipt, ReceiptKeyNote, RemovedReceipt, SealQueueEntry
from telemetry.receipts.reason_models import ReceiptReason
from telemetry.receipts.refusal_models import RefusalCount
from telemetry.summary.models import SummaryCount, SummaryPosition, SummaryRollup

__all__ = [
    "AccountEvent",
    "Checkpoint",
    "CheckpointTarget",
    "Delivery",
    "DeliveryAttempt",
    "InclusionPromiseKey",
    "InstanceAlarm",
    "InstanceCheckpoint",
    "InstanceEntry",
    "InstanceNode",
    "InstanceQueueEntry",
    "LogAlarm",
    "LogLeaf",
    "LogNode",
    "QuarantineCount",
    "QuarantinedReceipt",
    "Receipt",
    "ReceiptKeyNote",
    "ReceiptReason",
    "RefusalCount",
    "RemovedReceipt",
    "SealQueueEntry",
    "SignInFailures",
    "SummaryCount",
    "SummaryPosition",
    "SummaryRollup",
    "TelemetryExport",
]
