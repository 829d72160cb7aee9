"""Console pages of receipts, checkpoints, exports and deliveries."""

from telemetry.admin.checkpoints import CheckpointAdmin
from telemetry.admin.deliveries import DeliveryAdmin
from telemetry.admin.exports import TelemetryExportAdmin
from telemetry.admin.receipts import ReceiptAdmin

__all__ = ["CheckpointAdmin", "DeliveryAdmin", "ReceiptAdmin", "TelemetryExportAdmin"]
