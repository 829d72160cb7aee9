"""The console's pages of the ledger."""

from telemetry.admin.exports import TelemetryExportAdmin
from telemetry.admin.receipts import ReceiptAdmin

__all__ = ["ReceiptAdmin", "TelemetryExportAdmin"]
