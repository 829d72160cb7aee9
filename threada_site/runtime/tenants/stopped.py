"""Stops everything of an imported tenant that could act: it acts again only after a person decided so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from integrations import selectors as integration_selectors
from integrations.attempts.failures import FailureClass
from integrations.attempts.outcomes import Outcome
from integrations.configuration.parsed_documents import readable_action_of
from integrations.configuration.secrets import record_secrets_left_behind
from integrations.freezes.scope import FreezeScope
from integrations.lifecycle import ExecutionStatus, IntegrationTestStatus
from integrations.models import Execution, Integration, IntegrationTest
from telemetry.deliveries.batches import pause_delivery
from telemetry.exports.request import cancel_export
from telemetry.lifecycle import DeliveryStatus, ExportStatus
from telemetry.models import Delivery, TelemetryExport
from threada_site.identity.credentials import revoke_credential
from threada_site.identity.providers.configure import withdraw_provider
from threada_site.identity.trusted_issuers.configure import withdraw_trusted_issuer
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Credential, IdentityProvider, TrustedIssuer
from workitems.executions.freezes import set_freeze
from workitems.executions.settle_attempt import settle_answered
from workitems.models import NoticeMessage
from workitems.notices.rules import OPEN, MessageStatus
from workitems.retention.tenant_deletion import pending_deletion, withdraw_deletion
from workitems.selectors import work_item_for_update

REASON: Final = "The tenant was imported. Check address and secrets of this integration, then lift the freeze."
UNKNOWN: Final = Outcome(
    failure=FailureClass.WORKER_LOST,
    ambiguous=True,
    detail="The tenant was exported before this ended, and the exporting instance may have called the receiver since.",
)


@dataclass(slots=True)
class Stopped:
    """Numbers for the receipt, and sentences for the operator."""

    counts: dict[str, int] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)

    def add(self, name: str, number: int, sentence: str) -> None:
        self.counts[name] = number
        if number:
            self.sentences.append(sentence.format(number))


def stop_what_could_act(*, ctx: ActingContext) -> Stopped:
    """Stop executions, integrations, deliveries, credentials, messages and sign-in of an imported tenant.

    Each leaves the receipt of the same act by the operator.
    """
    done, mine = Stopped(), {"tenant_id": ctx.tenant_id}
    done.add(
        "executions_unknown", _end_executions(ctx=ctx), "{} executions were under way: a person must reconcile them."
    )
    undos = Execution.objects.filter(**mine, undo_due_at__isnull=False).update(undo_due_at=None, undo_next_try_at=None)
    done.add("undos_dropped", undos, "{} undos were planned: a person must start them.")
    frozen = list(Integration.objects.filter(**mine, current_version__isnull=False).order_by("slug"))
    for integration in frozen:
        set_freeze(FreezeScope(integration=integration.slug), reason=REASON, ctx=ctx)
    done.add(
        "integrations_frozen", len(frozen), "{} integrations are frozen: set their secrets, then lift each freeze."
    )
    done.add(
        "secrets_removed", record_secrets_left_behind(ctx=ctx), "{} stored secrets did not move: store them again."
    )
    tests = IntegrationTest.objects.filter(
        **mine, status__in=[IntegrationTestStatus.QUEUED, IntegrationTestStatus.RUNNING]
    ).update(status=IntegrationTestStatus.FAILED, failure=FailureClass.WORKER_LOST, finished_at=clock.now())
    done.add("tests_ended", tests, "{} tests of integrations ended.")
    deliveries = list(Delivery.objects.select_for_update().filter(**mine, status=DeliveryStatus.ACTIVE))
    for delivery in deliveries:
        pause_delivery(delivery, now=clock.now(), ctx=ctx)
    done.add("deliveries_paused", len(deliveries), "{} deliveries are paused: set their secrets, then resume each.")
    kept = [ExportStatus.REQUESTED, ExportStatus.RUNNING, ExportStatus.READY]
    exports = list(TelemetryExport.objects.select_for_update().filter(**mine, status__in=kept))
    for export in exports:
        cancel_export(export, ctx=ctx)
    done.add("exports_cancelled", len(exports), "{} telemetry exports are cancelled: their files were not moved.")
    messages = NoticeMessage.objects.filter(**mine, status__in=OPEN).update(
        status=MessageStatus.SKIPPED, due_at=None, settled_at=clock.now()
    )
    done.add("messages_skipped", messages, "{} notifications are not sent.")
    credentials = list(Credential.objects.filter(**mine, revoked_at=None))
    for credential in credentials:
        revoke_credential(credential, ctx=ctx)
    done.add("credentials_revoked", len(credentials), "{} credentials are revoked: issue new tokens.")
    live = {**mine, "current_version__isnull": False}
    issuers = list(TrustedIssuer.objects.filter(**live).values_list("slug", flat=True))
    for slug in issuers:
        withdraw_trusted_issuer(slug, ctx=ctx)
    providers = list(IdentityProvider.objects.filter(**live).values_list("slug", flat=True))
    for slug in providers:
        withdraw_provider(slug, ctx=ctx)
    sentence = "{} trusted issuers and identity providers are withdrawn: apply them again."
    done.add("providers_withdrawn", len(issuers) + len(providers), sentence)
    is_given_up = pending_deletion(ctx=ctx) is not None
    if is_given_up:
        withdraw_deletion(ctx=ctx)
    done.add("deletions_withdrawn", int(is_given_up), "The deletion that stewards confirmed there does not apply here.")
    return done


def _end_executions(*, ctx: ActingContext) -> int:
    """End executions that may have been sent since the export with an unknown outcome. Return their number."""
    under_way = Execution.objects.filter(
        tenant_id=ctx.tenant_id, status__in=[ExecutionStatus.STARTED, ExecutionStatus.RUNNING]
    )
    found = list(under_way.order_by("id").values_list("id", "work_item_id"))
    for execution_id, item_id in found:
        item = work_item_for_update(item_id, tenant_id=ctx.tenant_id)
        execution = integration_selectors.execution_for_update(execution_id, tenant_id=ctx.tenant_id)
        assert item is not None and execution is not None  # noqa: S101, PT018 - read in this transaction
        if execution.blocked_by_freeze_id is not None:
            execution.blocked_by_freeze, execution.blocked_at = None, None
            execution.save(update_fields=["blocked_by_freeze", "blocked_at"])
        settle_answered(item, execution, readable_action_of(execution), UNKNOWN, ctx=ctx)
    return len(found)
