"""Condition of the steps on which the acting principal can vote now: what every "waiting for you" lists and counts.

It has the same result as the checks of a vote (`workitems.steps.voting`), except for pins, which those lock.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import BooleanField, Exists, OuterRef, Q
from django.db.models.expressions import RawSQL

from integrations.freezes.covering import is_step_covered
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, AuthenticationMethod, PrincipalKind
from threada_site.kernel.factors import Factor
from threada_site.tenancy.credentials.deciding import has_authentication_to_decide
from threada_site.tenancy.models import EnrolledFactor, Membership
from workitems.approvers.active_members import ApproverKeys, IdentityKeys, approver_keys_of
from workitems.approvers.timely_grants import DECIDE
from workitems.models import PendingApproverKey, Vote

_CONTROLLERS: Final = """
    SELECT one AS id FROM unnest(%s::uuid[]) one
     UNION SELECT unnest(threada_controllers(one, %s)) FROM unnest(%s::uuid[]) one
"""
_DEPENDENTS: Final = f"""
    ARRAY(WITH RECURSIVE root AS ({_CONTROLLERS}), below AS (
              SELECT id FROM root
               UNION SELECT d.user_id FROM below b JOIN tenancy_accountdependence d
                  ON d.tenant_id = %s AND d.depends_on_id = b.id AND d.ended_at IS NULL)
          SELECT id FROM below)
"""
"""The people given, those who control their accounts, and everybody whose account depends on one of these."""
_UNKNOWN: Final = """(
    EXISTS (SELECT FROM unnest(%s::uuid[]) one WHERE threada_controllers(one, %s) IS NULL) OR EXISTS (
        SELECT FROM unnest(workitems_decisionstep.excluded_ids) who JOIN tenancy_user u ON u.id = who
          LEFT JOIN tenancy_membership m ON m.tenant_id = workitems_decisionstep.tenant_id AND m.user_id = u.id
         WHERE CASE WHEN u.kind <> 'human'
                    THEN NOT jsonb_exists(workitems_decisionstep.excluded_controllers, who::text)
                    WHEN u.is_active AND m.accepted_at IS NOT NULL
                    THEN EXISTS (SELECT FROM tenancy_accountdependence d
                                  WHERE d.tenant_id = m.tenant_id AND d.user_id = u.id AND d.ended_at IS NULL)
                         AND threada_controllers(u.id, m.tenant_id) IS NULL
                    ELSE workitems_decisionstep.excluded_controllers -> who::text = 'null' END))"""
"""Nobody knows who controls one of the people given, or an excluded principal: see `StepVotes.excluded_controllers`."""
_EXCLUDED: Final = f"""(
    {_UNKNOWN} OR workitems_decisionstep.excluded_ids && {_DEPENDENTS} OR EXISTS (
        SELECT FROM jsonb_each(workitems_decisionstep.excluded_controllers) who
         WHERE jsonb_typeof(who.value) = 'array' AND who.value ?| ARRAY(SELECT id::text FROM ({_CONTROLLERS}) mine)
           AND NOT EXISTS (SELECT FROM tenancy_membership m JOIN tenancy_user u ON u.id = m.user_id
                            WHERE m.tenant_id = %s AND m.user_id = who.key::uuid AND u.kind = 'human'
                              AND u.is_active AND m.accepted_at IS NOT NULL)))"""
_DEPENDS_ON_A_VOTE: Final = f"""EXISTS (
    SELECT FROM workitems_vote v
     WHERE v.tenant_id = workitems_decisionstep.tenant_id AND v.step_id = workitems_decisionstep.id AND v.counted
       AND (v.voter_id = ANY({_DEPENDENTS}) OR v.stands_for && {_DEPENDENTS}))"""


def can_vote(ctx: ActingContext) -> Q | None:
    """Return the condition for pending steps on which a vote of the acting principal counts now; None if there are
    none.

    The principal is asked now, holds `decisions:decide` there, has accepted the invitation, is neither excluded nor
    dependent on who is or on who voted, has not voted or been represented, and has the authentication of the rule or
    can have it in this session. Runs two statements, one more while delegations are in force, and one more for a token
    or a session without a second factor.
    """
    if ctx.principal_kind is not PrincipalKind.HUMAN or ctx.is_system:
        return None
    if not has_authentication_to_decide(ctx):
        return None
    keys = approver_keys_of(ctx)
    asked = _asked(ctx, keys.own)
    for delegator in keys.delegators:
        asked |= _asked(ctx, delegator) & _may_decide(delegator)
    return (
        asked
        & _may_decide(keys.own)
        & _has_accepted(ctx)
        & _in_time(ctx)
        & _authenticated(ctx)
        & ~_excluded(ctx, keys)
        & ~_represented(ctx, keys)
    )


def _asked(ctx: ActingContext, keys: IdentityKeys) -> Q:
    wanted = PendingApproverKey.objects.filter(tenant_id=ctx.tenant_id, step_id=OuterRef("id"))
    found = Q(Exists(wanted.filter(key__in=sorted(keys.always))))
    for key, since in keys.late:
        found |= Q(Exists(wanted.filter(key=key)), grants_as_of__gt=since)
    return found


def _may_decide(keys: IdentityKeys) -> Q:
    """Return the condition that `decisions:decide` is held on the workflow of the step since before it was opened."""
    wanted = f"scope:{DECIDE}"
    if wanted in keys.always:
        return Q()
    found = Q(pk__in=[])
    for key, since in ((key, since) for key, since in keys.times if key.startswith(wanted)):
        workflow = key.removeprefix(wanted).removeprefix("@")
        here = Q(work_item__workflow_version__workflow_id=workflow) if workflow else Q()
        found |= here & (Q(grants_as_of__gt=since) if since is not None else Q())
    return found


def _has_accepted(ctx: ActingContext) -> Q:
    own = Membership.objects.filter(tenant_id=ctx.tenant_id, user_id=ctx.principal_id, accepted_at__isnull=False)
    return Q(Exists(own))


def _in_time(ctx: ActingContext) -> Q:
    """Return the condition that the step has not expired, or that a freeze stops its deadlines."""
    return Q(expires_at__isnull=True) | Q(expires_at__gt=clock.now()) | is_step_covered(ctx.tenant_id)


def _authenticated(ctx: ActingContext) -> Q:
    """Return the condition that the vote has the authentication of the rule, or can have it in this session.

    A session can get a re-authentication, and a passkey if the person has enrolled one. A token can get neither.
    """
    if ctx.authentication.method is AuthenticationMethod.NONE:
        return Q()
    if not ctx.authentication.is_session:
        return Q(rule__step_up=False) & ~Q(rule__has_key="authentication")
    if Factor.PASSKEY in ctx.authentication.factors:
        return Q()
    passkeys = EnrolledFactor.objects.filter(user_id=ctx.principal_id, kind=Factor.PASSKEY)
    return ~Q(rule__contains={"authentication": "phishing_resistant"}) | Q(Exists(passkeys))


def _excluded(ctx: ActingContext, keys: ApproverKeys) -> Q:
    """Return the condition that the principal has a part in the case, or depends on somebody who has."""
    people = sorted(keys.identities)
    dependents = [people, ctx.tenant_id, people, ctx.tenant_id]
    found = _sql(_EXCLUDED, [people, ctx.tenant_id, *dependents, people, ctx.tenant_id, people, ctx.tenant_id])
    return Q(found) | Q(excluded_ids__overlap=sorted(keys.excluding))


def _represented(ctx: ActingContext, keys: ApproverKeys) -> Q:
    """Return the condition that the principal has voted, or somebody with whom the principal counts once."""
    votes = Vote.objects.filter(tenant_id=ctx.tenant_id, step_id=OuterRef("id"))
    own = Q(voter_id=ctx.principal_id) | Q(voter_id__in=sorted(keys.standing_for), counted=True)
    me = [ctx.principal_id]
    dependents = [me, ctx.tenant_id, me, ctx.tenant_id]
    return Q(Exists(votes.filter(own))) | Q(_sql(_DEPENDS_ON_A_VOTE, [*dependents, *dependents]))


def _sql(condition: str, parameters: list[Any]) -> RawSQL:
    return RawSQL(condition, parameters, output_field=BooleanField())  # noqa: S611 - values are parameters
