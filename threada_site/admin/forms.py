"""Form pages. A refusal shows the form again with the entered values and the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from threada_site.admin.actions import Call, Done, Handler, carry_out, sentences
from threada_site.admin.confirmation import Effects, FormConfirmation, confirmation_page, is_confirmed, with_reason
from threada_site.admin.reauthentication import StepUp, needs_step_up, proof_asked
from threada_site.admin.words import Text
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import ThreadaError

FORM_SPEC: Final = "form_spec"
_SAVE: Final = _("Save")
_HINT: Final = _("Enter starts editing, Esc ends it. Ctrl+Space suggests words.")


class ConsoleForm(forms.Form):
    """Form with the acting context and its row. `intro` is shown above it. A link may set the fields `prefilled`."""

    intro: Text = ""
    prefilled: ClassVar[tuple[str, ...]] = ()
    template: ClassVar[str] = "console/form.html"

    def __init__(self, *args: Any, ctx: ActingContext, row: Any = None, **kwargs: Any) -> None:
        self.ctx = ctx
        self.row = row
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        self.prepare()

    def prepare(self) -> None:
        """Set choices and initial values. Runs inside the unit of work."""

    def prefill(self, given: Mapping[str, str]) -> None:
        """Show the values that a link to the form gives."""
        self.initial.update({name: given[name] for name in self.prefilled if given.get(name)})

    def rework(self) -> bool:
        """Return True to show the form again instead of running its action. Runs inside the unit of work."""
        return False

    def shown_with(self) -> dict[str, Any]:
        """Return additional context of the form's own template. Runs inside the unit of work."""
        return {}


class CodeArea(forms.Textarea):
    """Text area for a document: fixed width, no wrapping."""

    def __init__(self, rows: int = 24, attrs: dict[str, Any] | None = None) -> None:
        own = {"rows": rows, "class": "t-codearea", "spellcheck": "false", "autocomplete": "off"}
        super().__init__({**own, **(attrs or {})})


class DocumentArea(CodeArea):
    """Editor of YAML or JSON: colours, and for a `kind` of documents completion and errors by line.

    Without JavaScript it is a text area. `checks_itself` is False where the page checks the text by its own URL.
    """

    def __init__(self, kind: str = "", *, rows: int = 24, checks_itself: bool = True) -> None:
        self._kind = kind
        self._checks_itself = checks_itself
        super().__init__(rows)

    def build_attrs(self, base_attrs: dict[str, Any], extra_attrs: dict[str, Any] | None = None) -> dict[str, Any]:
        found = super().build_attrs(base_attrs, extra_attrs)
        found |= {"data-document": self._kind, "data-hint": _HINT}
        if self._kind:
            found["data-complete"] = reverse("admin:complete_document")
        if self._checks_itself:
            found["data-check"] = reverse("admin:check_document")
        return found

    @property
    def media(self) -> forms.Media:
        ace = "django_ace/ace"
        scripts = (f"{ace}/ace.js", f"{ace}/mode-yaml.js", f"{ace}/ext-language_tools.js", "console/document-editor.js")
        assets: list[Any] = [Script(script, defer=True) for script in scripts]
        return forms.Media(css={"all": [f"{ace}/css/ace.css"]}, js=assets)


@dataclass(frozen=True)
class FormSpec:
    """Form page at `<slug>/`, or `<row>/<slug>/`."""

    slug: str
    title: Text
    form: type[ConsoleForm]
    scope: Scope | None
    submit: Text
    of_row: bool
    step_up: StepUp
    confirmation: FormConfirmation | None


def form_page[F: ConsoleForm](
    title: Text,
    *,
    form: type[F],
    scope: Scope | None,
    submit: Text = _SAVE,
    of_row: bool = False,
    step_up: StepUp = False,
    confirm: FormConfirmation | None = None,
) -> Callable[[Callable[[Any, Call, F], Done]], Callable[[Any, Call, F], Done]]:
    """Make a method `(self, call, form) -> Done` of a ModelAdmin the handler of a valid form, of the class `form`.

    `step_up`: it needs a step-up whatever its scope. `confirm`: a page shows what the form changes and takes a reason.
    """

    def decorate(method: Callable[[Any, Call, F], Done]) -> Callable[[Any, Call, F], Done]:
        spec = FormSpec(method.__name__.replace("_", "-"), title, form, scope, submit, of_row, step_up, confirm)
        setattr(method, FORM_SPEC, spec)
        return method

    return decorate


def form_view(admin: Any, spec: FormSpec, method: Callable[[Call, ConsoleForm], Done]) -> Callable[..., HttpResponse]:
    """Return the view of a form page."""

    @require_http_methods(["GET", "HEAD", "POST"])
    def view(request: HttpRequest, key: str = "") -> HttpResponse:
        ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
        is_sent = request.method == "POST"
        refusal: ThreadaError | None = None
        call = Call(request, ctx, key)
        if spec.scope is not None and not ctx.has_scope_anywhere(spec.scope):
            if not is_sent:
                raise PermissionDenied
            return _refused(request, admin, spec, call)
        with unit_of_work(ctx.tenant_id, actor=ctx):
            row = admin.find(key, ctx=ctx) if spec.of_row else None
            form = spec.form(request.POST if is_sent else None, ctx=ctx, row=row)
            form.prefill({} if is_sent else request.GET)
            is_reworked = is_sent and form.rework()
            is_valid = is_sent and not is_reworked and form.is_valid()
            if spec.confirmation is not None and not is_sent and not form.fields:
                return _asked(admin, spec, call, spec.confirmation.effects(admin, form))
        if is_valid:
            outcome = _saved(admin, spec, call, form, lambda call: method(call, form))
            if isinstance(outcome, HttpResponse):
                return outcome
            if isinstance(outcome, Done) and outcome.shows is not None:
                return _shown_once(request, admin, spec, outcome)
            if isinstance(outcome, Done):
                if outcome.message:
                    messages.success(request, outcome.message)
                return HttpResponseRedirect(outcome.url or (admin.url_of(row) if row else admin.list_url()))
            refusal = outcome
        with unit_of_work(ctx.tenant_id, actor=ctx):
            context = {
                **admin.admin_site.each_context(request),
                "title": spec.title,
                "form": form,
                "problems": sentences(refusal) if refusal else [],
                "asks_proof": "" if spec.confirmation else _proof_asked(spec, call),
                "submit": spec.submit,
                "row": row,
                "list_title": admin.list_title,
                "list_url": admin.list_url(),
                "row_url": admin.url_of(row) if row else "",
                "row_title": admin.page_title(row) if row else "",
                **form.shown_with(),
            }
            page = render_to_string(form.template, context, request)
        return form_response(page, refusal, is_sent=is_sent and not is_reworked)

    return view


def form_response(page: str, refusal: ThreadaError | None, *, is_sent: bool) -> HttpResponse:
    """Return a form page: 422 for one that was sent, or the status of a failure of the instance."""
    if refusal is not None and refusal.status >= 500:
        return HttpResponse(page, status=refusal.status, headers=refusal.headers)
    return HttpResponse(page, status=422 if is_sent else 200)


def _saved(
    admin: Any, spec: FormSpec, call: Call, form: ConsoleForm, handler: Handler
) -> Done | ThreadaError | HttpResponse:
    """Run the handler of a valid form, or return the page that asks for its confirmation."""
    confirmation = spec.confirmation
    if confirmation is not None:
        try:
            with unit_of_work(call.ctx.tenant_id, actor=call.ctx):
                effects = confirmation.effects(admin, form)
                if not is_confirmed(call):
                    return _asked(admin, spec, call, effects)
        except ThreadaError as refusal:
            return refusal
        handler = with_reason(lambda _: confirmation.effects(admin, form), handler)
    try:
        return carry_out(call, spec.scope, handler, step_up=spec.step_up)
    except ThreadaError as failure:  # of the instance: the form keeps its entries
        return failure


def _asked(admin: Any, spec: FormSpec, call: Call, effects: Effects) -> HttpResponse:
    """Return the page that asks for confirmation. Runs inside a unit of work."""
    back = admin.url_of(admin.find(call.key, ctx=call.ctx)) if spec.of_row else admin.list_url()
    return confirmation_page(admin, call, spec.submit, effects, back=back, asks_proof=_proof_asked(spec, call))


def _proof_asked(spec: FormSpec, call: Call) -> str:
    return proof_asked(call.ctx, is_required=needs_step_up(spec.scope, step_up=spec.step_up, ctx=call.ctx))


def _refused(request: HttpRequest, admin: Any, spec: FormSpec, call: Call) -> HttpResponse:
    """Return the page of a sent form whose scope the caller lacks: the refusal, without the form and its row."""
    refusal = carry_out(call, spec.scope, lambda _: Done(""))
    assert not isinstance(refusal, Done)  # noqa: S101
    with unit_of_work(call.ctx.tenant_id, actor=call.ctx):
        frame = {"title": spec.title, "list_title": admin.list_title, "list_url": admin.list_url()}
        form = ConsoleForm(ctx=call.ctx)
        context = {**admin.admin_site.each_context(request), **frame, "form": form, "problems": sentences(refusal)}
        page = render_to_string(form.template, context, request)
    return HttpResponse(page, status=422)


def _shown_once(request: HttpRequest, admin: Any, spec: FormSpec, outcome: Done) -> HttpResponse:
    frame = {"title": spec.title, "list_title": admin.list_title, "list_url": admin.list_url()}
    context = {**admin.admin_site.each_context(request), **frame, "message": outcome.message, **(outcome.shows or {})}
    page = render_to_string("console/shown_once.html", context, request)
    return HttpResponse(page, headers={"Cache-Control": "no-store"})
