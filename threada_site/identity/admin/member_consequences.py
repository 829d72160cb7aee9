"""Effects of removing people and ending their sessions, shown before the confirmation."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin.actions import Call
from threada_site.admin.confirmation import Confirmation, Effects


def _removing(admin: Any, call: Call) -> Effects:
    person = admin.find(call.key, ctx=call.ctx).user
    return Effects(
        [
            _("%(name)s leaves the tenant, with all roles and scopes.") % {"name": person.username},
            _("Sessions and credentials in this tenant end now. Decisions that wait for them ask others."),
        ]
    )


def _ending_sessions(admin: Any, call: Call) -> Effects:
    person = admin.find(call.key, ctx=call.ctx).user
    return Effects([_("%(name)s is signed out everywhere and must sign in again.") % {"name": person.username}])


def _withdrawing(admin: Any, call: Call) -> Effects:
    person = admin.find(call.key, ctx=call.ctx).user
    return Effects([_("The link of the invitation of %(name)s is not valid any more.") % {"name": person.username}])


REMOVE: Final = Confirmation(gettext_lazy("Remove from the tenant"), _removing)
END_SESSIONS: Final = Confirmation(gettext_lazy("End sessions"), _ending_sessions)
WITHDRAW_INVITATION: Final = Confirmation(gettext_lazy("Withdraw invitation"), _withdrawing)
