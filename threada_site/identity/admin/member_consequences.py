"""Effects of removing people and ending their sessions, shown before the confirmation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin.actions import Call
from threada_site.admin.confirmation import Confirmation, Effects
from threada_site.admin.words import word
from threada_site.identity.departure.access import ways_to_act
from threada_site.identity.departure.restore import links_of
from threada_site.kernel import clock

_MOST_NAMED: Final = 100


def _removing(admin: Any, call: Call) -> Effects:
    person = admin.find(call.key, ctx=call.ctx).user
    return Effects(
        [
            _("%(name)s leaves the tenant, with all roles and scopes.") % {"name": person.username},
            _("Sessions and credentials in this tenant end now. Decisions that wait for them ask others."),
        ]
    )


def _ending_access(admin: Any, call: Call) -> Effects:
    person = admin.find(call.key, ctx=call.ctx).user
    found = ways_to_act(person, ctx=replace(call.ctx, reauthenticated_at=clock.now()))
    return Effects(
        [
            _("%(name)s can do nothing in this tenant any more. Roles and groups stay.") % {"name": person.username},
            *(f"{word(noun)}: {', '.join(names[:_MOST_NAMED])}{_more(len(names))}" for noun, names in found.items()),
        ]
    )


def _more(number: int) -> str:
    return _(" and {number} more").format(number=number - _MOST_NAMED) if number > _MOST_NAMED else ""


def _ending_sessions(admin: Any, call: Call) -> Effects:
    person = admin.find(call.key, ctx=call.ctx).user
    return Effects([_("%(name)s is signed out everywhere and must sign in again.") % {"name": person.username}])


def _withdrawing(admin: Any, call: Call) -> Effects:
    person = admin.find(call.key, ctx=call.ctx).user
    return Effects([_("The link of the invitation of %(name)s is not valid any more.") % {"name": person.username}])


def _restoring_links(admin: Any, call: Call) -> Effects:
    person = admin.find(call.key, ctx=call.ctx).user
    named = ", ".join(str(link.provider) for link in links_of(person, ctx=call.ctx).exclude(ended_at=None))
    return Effects(
        [
            _("%(name)s can sign in at %(providers)s again.") % {"name": person.username, "providers": named},
            _("The account depends on you until somebody independent confirms it."),
        ]
    )


REMOVE: Final = Confirmation(gettext_lazy("Remove from the tenant"), _removing)
END_ACCESS: Final = Confirmation(gettext_lazy("End access"), _ending_access)
RESTORE_LINKS: Final = Confirmation(gettext_lazy("Restore links"), _restoring_links)
END_SESSIONS: Final = Confirmation(gettext_lazy("End sessions"), _ending_sessions)
WITHDRAW_INVITATION: Final = Confirmation(gettext_lazy("Withdraw invitation"), _withdrawing)
