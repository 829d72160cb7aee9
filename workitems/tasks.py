"""Jobs. Each opens its own unit of work and calls one service; each may run twice, and at the same time."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import structlog
from django.conf import settings

from integrations.executions.simulated_callback import CALL_BACK
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account.mail_address import TELL_PREVIOUS_ADDRESS
from threada_site.identity.account_links import MAIL_LINK
from threada_site.identity.console_sessions.limits import expire_sessions
from threada_site.identity.personal_notices import NOTIFY_PERSON
from threada_site.identity.trusted_issuers.expired_tokens import delete_expired_tokens
from threada_site.jobs.context import job_context, tenant_of_job
from threada_site.jobs.enqueue import (
    DEFAULT_QUEUE,
    EXECUTION_QUEUE,
    MAINTENANCE_QUEUE,
    NOTICE_QUEUE,
    SWEEP_QUEUE,
    enqueue,
)
from threada_site.jobs.registry import periodic, task
from threada_site.kernel import clock
from threada_site.kernel.errors.retention import RetentionStandsStill
from threada_site.tenancy.models import Tenant
from workitems import selectors, sweeps
from workitems.attachments.sweep import sweep_files
from workitems.configuration.drift import check_drift
from workitems.conversation.erase import ERASE, erase_comment, sweep_removed
from workitems.conversation.sweep import sweep_questions
from workitems.executions.callbacks import take_simulated_answer
from workitems.executions.re_evaluate import re_evaluate_step
from workitems.executions.running.call_slots import call_slots
from workitems.executions.running.run_set import run_set
from workitems.executions.start_request import start_request
from workitems.executions.timed_undo import START_UNDO, start_due_undo
from workitems.items.transitions import START_REQUEST
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, WorkItem
from workitems.notices.account_mail import mail_link, send_personal_notice, tell_previous_address
from workitems.notices.addressing import SEND, address_notice
from workitems.notices.enqueue import ADDRESS
from workitems.notices.sending import send_message
from workitems.notices.sweep import enqueue_due_notices
from workitems.proof.stored_runs import RUN_PROOF, run_proof
from workitems.retention import run as retention
from workitems.retention import sweep as keeping
from workitems.retention.batches import take_batch
from workitems.search.sweep import index_changes, index_missing
from workitems.steps.deadline_sweep import sweep_deadlines
from workitems.steps.departures import CHECK_REACHABILITY
from workitems.steps.policy.intake_set import decide_intake as decide_in_set
from workitems.steps.reachability_sweep import check_tenant, sweep_reachability

ATTEMPTS: Final = 20
PAUSE_S: Final = 5
"""Retries of jobs that no sweep enqueues again if they are lost."""

log = structlog.get_logger("threada.jobs")


@task("workitems.decide_intake", queue=DEFAULT_QUEUE)
def decide_intake(tenant_id: str, work_item_id: str, correlation_id: str) -> None:
    """Evaluate the policies for a new work item, unless `/actions/execute` has done so already, and for others."""
    tenant = tenant_of_job(tenant_id)
    job_context(tenant, correlation_id)
    decide_in_set(tenant, uuid.UUID(work_item_id))


@task(START_REQUEST, queue=DEFAULT_QUEUE, attempts=ATTEMPTS, pause_s=PAUSE_S)
def start_waiting_request(tenant_id: str, work_item_id: str) -> None:
    """Start the declared action of a request that people have approved."""
    start_request(tenant_of_job(tenant_id), uuid.UUID(work_item_id))


@task("workitems.run_execution", queue=EXECUTION_QUEUE)
def run_execution(tenant_id: str, execution_id: str) -> None:
    """Run an execution that is due, and others of the tenant with it."""
    if not call_slots.needs_no_job(uuid.UUID(execution_id)):
        run_set(tenant_of_job(tenant_id), uuid.UUID(execution_id))


@task(CALL_BACK, queue=EXECUTION_QUEUE, attempts=ATTEMPTS, pause_s=PAUSE_S)
def simulated_callback(tenant_id: str, execution_id: str) -> None:
    """Take the simulated callback of an execution."""
    take_simulated_answer(tenant_of_job(tenant_id), uuid.UUID(execution_id))


@task("workitems.re_evaluate_for_policies", queue=MAINTENANCE_QUEUE, attempts=ATTEMPTS, pause_s=PAUSE_S)
def re_evaluate_for_policies(tenant_id: str, policy_version_ids: list[str]) -> None:
    """Decide again on the open steps that pin any of these policy versions."""
    pinned = [uuid.UUID(version_id) for version_id in policy_version_ids]
    _re_evaluate_pending_steps(tenant_of_job(tenant_id), policy_version_ids__overlap=pinned)


@task("workitems.re_evaluate_for_integrations", queue=MAINTENANCE_QUEUE, attempts=ATTEMPTS, pause_s=PAUSE_S)
def re_evaluate_for_integrations(tenant_id: str, integration_version_ids: list[str]) -> None:
    """Build new envelopes for executions that wait for approval and pin any of these integration versions."""
    pinned = [uuid.UUID(version_id) for version_id in integration_version_ids]
    _re_evaluate_pending_steps(tenant_of_job(tenant_id), execution__integration_version_id__in=pinned)


def _re_evaluate_pending_steps(tenant: Tenant, **which: Any) -> None:
    """Process each step in its own transaction. A failure does not affect other steps; the job is repeated."""
    with unit_of_work(tenant.id):
        pending = DecisionStep.objects.filter(tenant_id=tenant.id, status=StepStatus.PENDING, **which)
        step_ids = list(pending.order_by("id").values_list("id", flat=True))
    broken: Exception | None = None
    for step_id in step_ids:
        try:
            with unit_of_work(tenant.id):
                found = _locked_step(tenant, step_id)
                if found is not None:
                    re_evaluate_step(*found, ctx=job_context(tenant))
        except Exception as error:  # raised below, after the other steps
            log.exception("re_evaluation_failed", step=str(step_id))
            broken = error
    if broken is not None:
        raise broken


@periodic("workitems.dispatch_waiting", queue=SWEEP_QUEUE, cron="* * * * * *")
def dispatch_waiting() -> None:
    """Enqueue executions that wait for their tenant's quota, every second."""
    sweeps.dispatch_all_waiting(now=clock.now())


@periodic("workitems.sweep", queue=SWEEP_QUEUE, cron="* * * * * */5")
def sweep() -> None:
    """Enqueue lost and due executions, intake decisions and re-evaluations, every five seconds."""
    sweeps.adopt_jobs_of_another_engine()  # first: adopted jobs need not be enqueued again
    sweeps.enqueue_due_executions(now=clock.now())
    sweeps.enqueue_overdue_intake(now=clock.now())
    sweeps.revive_re_evaluations()


@periodic("identity.expire_sessions", queue=MAINTENANCE_QUEUE, cron="*/10 * * * *")
def expire_console_sessions() -> None:
    """Delete console sessions that have reached a limit. Runs every ten minutes."""
    expire_sessions(now=clock.now())


@periodic("identity.delete_exchanged_tokens", queue=MAINTENANCE_QUEUE, cron="*/10 * * * *")
def delete_exchanged_tokens() -> None:
    """Delete exchanged tokens that ended an hour ago. Runs every ten minutes."""
    delete_expired_tokens(now=clock.now())


@periodic("workitems.undos", queue=MAINTENANCE_QUEUE, cron="* * * * * */10")
def undos() -> None:
    """Enqueue undos that are due, every ten seconds."""
    sweeps.enqueue_due_undos(now=clock.now())


@task(START_UNDO, queue=MAINTENANCE_QUEUE)
def start_undo(tenant_id: str, execution_id: str) -> None:
    """Start an undo that is due."""
    start_due_undo(tenant_of_job(tenant_id), uuid.UUID(execution_id))


@periodic("workitems.deadlines", queue=MAINTENANCE_QUEUE, cron="* * * * * */5")
def deadlines() -> None:
    """Process due reminders, escalations and expirations, every five seconds."""
    sweep_deadlines(now=clock.now())


@periodic("workitems.configuration_drift", queue=MAINTENANCE_QUEUE, cron="* * * * *")
def configuration_drift() -> None:
    """Compare, every five minutes for each tenant, the configuration with what was last applied from files."""
    check_drift(now=clock.now())


@periodic("workitems.reachability", queue=MAINTENANCE_QUEUE, cron="* * * * * */10")
def reachability() -> None:
    """Check every ten seconds that pending steps can still be completed."""
    sweep_reachability()


@task(CHECK_REACHABILITY, queue=MAINTENANCE_QUEUE, attempts=ATTEMPTS, pause_s=PAUSE_S)
def check_tenant_reachability(tenant_id: str) -> None:
    """Check the open steps of a tenant after somebody left it, without waiting for the next sweep."""
    check_tenant(tenant_of_job(tenant_id).id)


@task(ADDRESS, queue=NOTICE_QUEUE)
def address(tenant_id: str, notice_id: str) -> None:
    """Create the messages of a notice."""
    tenant = tenant_of_job(tenant_id)
    with unit_of_work(tenant.id):
        address_notice(uuid.UUID(notice_id), now=clock.now(), ctx=job_context(tenant))


@task(SEND, queue=NOTICE_QUEUE)
def send(tenant_id: str, message_id: str) -> None:
    """Send a message to one person."""
    tenant = tenant_of_job(tenant_id)
    send_message(uuid.UUID(message_id), ctx=job_context(tenant), rng=random.SystemRandom())


@task(NOTIFY_PERSON, queue=NOTICE_QUEUE, attempts=8, pause_s=60)
def notify_person(tenant_id: str, person_id: str, kind: str, what: str, by: str) -> None:
    """Notify a person of an act on the person's account. Preferences do not turn it off."""
    send_personal_notice(uuid.UUID(person_id), kind, what=what, by=by, ctx=job_context(tenant_of_job(tenant_id)))


@task(MAIL_LINK, queue=NOTICE_QUEUE, attempts=8, pause_s=60)
def mail_account_link(tenant_id: str, link_id: str) -> None:
    """Mail an invitation or a link to reset a password."""
    mail_link(uuid.UUID(link_id), ctx=job_context(tenant_of_job(tenant_id)))


@task(TELL_PREVIOUS_ADDRESS, queue=NOTICE_QUEUE, attempts=8, pause_s=60)
def tell_previous_address_of_change(tenant_id: str, link_id: str) -> None:
    """Tell the previous mail address of a person that it was replaced."""
    tell_previous_address(uuid.UUID(link_id), ctx=job_context(tenant_of_job(tenant_id)))


@periodic("workitems.index_changes", queue=MAINTENANCE_QUEUE, cron="* * * * * */2", can_stop=True)
def index_changed_items(*, is_asked_to_stop: Callable[[], bool] = lambda: False) -> None:
    """Write the search documents of new and changed work items, every two seconds."""
    index_changes(now=clock.now(), is_asked_to_stop=is_asked_to_stop)


@periodic("workitems.notices", queue=MAINTENANCE_QUEUE, cron="* * * * * */10")
def notices() -> None:
    """Enqueue notices and messages whose job was lost, every ten seconds."""
    enqueue_due_notices(now=clock.now())


@periodic("workitems.conversation", queue=MAINTENANCE_QUEUE, cron="* * * * * */10")
def conversation() -> None:
    """Expire overdue questions, and erase texts of removed comments, every ten seconds."""
    sweep_questions(now=clock.now())
    sweep_removed()


@task(ERASE, queue=MAINTENANCE_QUEUE)
def erase_removed_comment(tenant_id: str, comment_id: str) -> None:
    """Erase the texts of a removed comment."""
    tenant = tenant_of_job(tenant_id)
    with unit_of_work(tenant.id):
        erase_comment(uuid.UUID(comment_id), tenant_id=tenant.id)


@periodic("workitems.tidy", queue=MAINTENANCE_QUEUE, cron="*/10 * * * *")
def tidy() -> None:
    """Delete finished jobs and expired answers, enqueue retention and complete the search, every ten minutes."""
    sweeps.delete_finished_jobs()
    keeping.delete_expired_answers(now=clock.now())
    keeping.delete_old_drafts(now=clock.now())
    keeping.enqueue_due_retention()
    index_missing(now=clock.now())


@periodic("workitems.files", queue=MAINTENANCE_QUEUE, cron="*/10 * * * *")
def files() -> None:
    """Delete files that nobody used, and files that nobody can read any more, every ten minutes."""
    sweep_files(now=clock.now())


@task("workitems.apply_retention", queue=MAINTENANCE_QUEUE)
def apply_retention(tenant_id: str) -> None:
    """Run one batch of a tenant's automatic retention. The rest is enqueued behind other tenants' jobs."""
    tenant = tenant_of_job(tenant_id)
    ctx = job_context(tenant)
    notice = timedelta(hours=settings.THREADA_RETENTION_NOTICE_HOURS)
    try:
        with unit_of_work(tenant.id):
            is_time = retention.prepare(now=clock.now(), notice=notice, ctx=ctx)
        is_more = is_time and not take_batch(now=clock.now(), ctx=ctx).is_last
    except RetentionStandsStill as failure:
        log.error("retention_stands_still", tenant=tenant.slug, detail=failure.detail)  # noqa: TRY400
        with unit_of_work(tenant.id):
            retention.note_failure(failure.detail, ctx=ctx)
        return
    if is_more:
        with unit_of_work(tenant.id):
            enqueue("workitems.apply_retention", tenant_id=tenant.id, queue=MAINTENANCE_QUEUE)


def _locked_step(tenant: Tenant, step_id: uuid.UUID) -> tuple[WorkItem, DecisionStep] | None:
    found = DecisionStep.objects.filter(tenant_id=tenant.id, id=step_id).values_list("work_item_id", flat=True).first()
    item = selectors.work_item_for_update(found, tenant_id=tenant.id) if found else None
    step = DecisionStep.objects.select_for_update().filter(tenant_id=tenant.id, id=step_id).first()
    return None if item is None or step is None else (item, step)


@task(RUN_PROOF, queue=MAINTENANCE_QUEUE)
def run_requested_proof(tenant_id: str, proof_id: str) -> None:
    """Check the product's promises against the configuration of a tenant, as a steward asked."""
    tenant = tenant_of_job(tenant_id)
    run_proof(tenant, uuid.UUID(proof_id), ctx=job_context(tenant))
