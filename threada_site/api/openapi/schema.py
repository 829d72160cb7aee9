"""OpenAPI document, generated from the declarations by `operation(…)`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentIdentity, ComponentRegistry, ResolvedComponent

from threada_site.api.openapi.descriptions import described
from threada_site.api.openapi.parameters import (
    HEADERS,
    RESPONSE_HEADERS,
    filter_parameters,
    page_parameters,
    path_parameter,
)
from threada_site.api.openapi.published_schemas import published
from threada_site.api.openapi.reasons import EVERYWHERE, reason_codes
from threada_site.api.operations import ATTRIBUTE, Operation, RefusalForm, handler_name
from threada_site.api.parsers import MERGE_PATCH
from threada_site.api.problems import CONTENT_TYPE, PROBLEM
from threada_site.api.resources.proposals import PROPOSED_CHANGE
from threada_site.api.resources.resource import Representation
from threada_site.api.shapes import Shape
from threada_site.kernel.errors import REASONS

_ANY_ANSWER: Final = Representation("Answer", {"type": "object"})
_BINARY: Final = "application/octet-stream"
_BYTES: Final = {"type": "string", "format": "binary"}
_ALWAYS: Final = ("Threada-Correlation-Id", "Threada-Version")
_RATE_LIMITS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_CORRELATION_ID: Final = "0190a6c1b2d47f6c8a3e5d7c9b1f2e3d"


class ThreadaSchema(AutoSchema):
    """Schema of one operation, derived from its declaration and the scopes of the view."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> dict[str, Any]:
        self.registry = registry
        self.method = method.upper()
        handler = getattr(self.view, handler_name(self.view, method))
        declared: Operation = getattr(handler, ATTRIBUTE, None) or self._undeclared(path, handler)
        scope = getattr(self.view, "scopes", {}).get(self.method)
        result: dict[str, Any] = {
            "operationId": declared.operation_id,
            "summary": declared.summary,
            "description": "\n\n".join(
                part for part in (declared.description, f"Scope: `{scope.value}`." if scope else "") if part
            ),
            "tags": [declared.tag or getattr(self.view, "tag", "")],
            "parameters": list(self._parameters(declared, path, handler)),
            "deprecated": declared.deprecation is not None,
            "security": [{"bearer": [scope.value] if scope else []}]
            if self._is_in_tenant
            else getattr(self.view, "security", []),
            "responses": {
                **{str(status): self._answer(declared, answer) for status, answer in declared.answers.items()},
                **({"202": self._proposal()} if declared.may_need_confirmation else {}),
                **({"304": self._unchanged()} if self._is_tagged(declared) else {}),
                **self._refusals(declared, path, handler),
            },
        }
        if declared.body is not None:
            result["requestBody"] = self._body(declared, declared.body)
        return {key: value for key, value in result.items() if value or key == "security"}

    @property
    def _is_in_tenant(self) -> bool:
        return hasattr(self.view, "scopes")

    def _is_tagged(self, declared: Operation) -> bool:
        """Return True if answers have an entity tag and may be 304."""
        answer = declared.answers.get(200)
        is_json = answer is not None and answer.media_type == "application/json" and not answer.is_download
        return self.method == "GET" and self._is_in_tenant and is_json

    def _headers_of(self, declared: Operation) -> tuple[str, ...]:
        ending = ("Deprecation", "Sunset") if declared.deprecation else ()
        tag = ("ETag",) if self._is_tagged(declared) else ()
        waited = ("Preference-Applied",) if declared.can_wait else ()
        return tuple(dict.fromkeys((*declared.headers, *tag, *ending, *waited)))

    def _unchanged(self) -> dict[str, Any]:
        headers = self._headers("ETag", *self._rate_limits())
        return {"description": "Not changed since the ETag was read.", "headers": headers}

    def _undeclared(self, path: str, handler: Any) -> Operation:
        """Return a default declaration for a handler without one."""
        name = type(self.view).__name__
        return Operation(
            operation_id=f"{self.method.lower()}{name}",
            summary=re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize(),
            tag=path.strip("/").partition("/")[0].replace("-", " ").capitalize(),
            description=(handler.__doc__ or type(self.view).__doc__ or "").strip(),
            answers={200: _ANY_ANSWER},
        )

    def _parameters(self, declared: Operation, path: str, handler: Any) -> Iterator[dict[str, Any]]:
        yield from (path_parameter(name) for name in _variables(path))
        if declared.filters is not None:
            yield from filter_parameters(declared.filters)
        if declared.is_paged:
            yield from page_parameters()
        if self._is_in_tenant:
            yield self._header_parameter("Threada-Tenant")
            yield self._header_parameter("Threada-Role")
        if getattr(handler, "is_idempotent", False):
            yield self._header_parameter("Idempotency-Key")
        if declared.takes_if_match or declared.needs_if_match:
            yield self._header_parameter("If-Match")
        if declared.can_wait:
            yield self._header_parameter("Prefer")
        if declared.may_create or self._is_tagged(declared):
            yield self._header_parameter("If-None-Match")
        yield self._header_parameter("Threada-Correlation-Id")

    def _header_parameter(self, name: str) -> dict[str, Any]:
        return self._component(
            name.replace("-", ""), ResolvedComponent.PARAMETER, {"in": "header", "name": name, **HEADERS[name]}
        )

    def _body(self, declared: Operation, body: Shape) -> dict[str, Any]:
        name = declared.operation_id[:1].upper() + declared.operation_id[1:] + "Request"
        content: dict[str, Any] = {"schema": self._component(name, ResolvedComponent.SCHEMA, body.schema)}
        if body.example is not None:
            content["example"] = body.example
        types = [declared.body_media_type, *([MERGE_PATCH] if self.method == "PATCH" else [])]
        return {"required": _is_required(body.schema), "content": dict.fromkeys(types, content)}

    def _answer(self, declared: Operation, answer: Representation | None) -> dict[str, Any]:
        response: dict[str, Any] = {
            "description": "Success.",
            "headers": self._headers(*self._rate_limits(), *self._headers_of(declared)),
        }
        if answer is not None:
            content: dict[str, Any] = {"schema": self._reference(answer)}
            if answer.example is not None:
                content["example"] = answer.example
            response["content"] = {answer.media_type: content}
            if answer.is_download:
                response["content"][_BINARY] = {"schema": _BYTES}
        return response

    def _proposal(self) -> dict[str, Any]:
        return {
            "description": "Nothing is changed yet: an independent person must publish the change set.",
            "headers": self._headers(*self._rate_limits(), "Location"),
            "content": {
                PROPOSED_CHANGE.media_type: {
                    "schema": self._reference(PROPOSED_CHANGE),
                    "example": PROPOSED_CHANGE.example,
                }
            },
        }

    def _refusals(self, declared: Operation, path: str, handler: Any) -> dict[str, Any]:
        form = declared.refusal_form
        return self._problems(declared, path, handler) if form is None else self._other_refusals(declared, form)

    def _other_refusals(self, declared: Operation, form: RefusalForm) -> dict[str, Any]:
        """Return the refusals of an operation with a form of its own, and those that never reach its view."""
        found = {
            str(status): self._problem(status, [code for code in EVERYWHERE if REASONS[code].status == status])
            for status in {REASONS[code].status for code in EVERYWHERE}
            if status is not None
        }
        by_status: dict[int, list[str]] = defaultdict(list)
        for code in declared.reasons:
            by_status[form.status_of(REASONS[code])].append(code)
        for status, codes in by_status.items():
            answer = found.setdefault(str(status), self._refusal(status, codes))
            answer["description"] = "; ".join(f"`{code}`: {REASONS[code].title}" for code in codes) + "."
            answer["content"][form.representation.media_type] = {
                "schema": self._reference(form.representation),
                "examples": {code: self._other_example(form, code) for code in codes},
            }
        return dict(sorted(found.items()))

    def _other_example(self, form: RefusalForm, code: str) -> dict[str, Any]:
        reason = REASONS[code]
        value = form.body_of(reason, reason.advice, correlation_id=_CORRELATION_ID)
        name = f"{form.representation.name}-{code}"
        return self._component(name, ResolvedComponent.EXAMPLE, {"summary": reason.title, "value": value})

    def _problems(self, declared: Operation, path: str, handler: Any) -> dict[str, Any]:
        by_status: dict[int, list[str]] = defaultdict(list)
        for code in dict.fromkeys(
            reason_codes(declared, handler, self.method, self.view, has_variables=any(_variables(path)))
        ):
            status = REASONS[code].status
            assert status is not None, f"{declared.operation_id}: {code} is no HTTP problem"  # noqa: S101
            by_status[status].append(code)
        return {str(status): self._problem(status, codes) for status, codes in sorted(by_status.items())}

    def _rate_limits(self) -> tuple[str, ...]:
        return _RATE_LIMITS if self._is_in_tenant else ()

    def _problem(self, status: int, codes: list[str]) -> dict[str, Any]:
        examples = {code: self._component(code, ResolvedComponent.EXAMPLE, _problem_example(code)) for code in codes}
        return {
            **self._refusal(status, codes),
            "content": {CONTENT_TYPE: {"schema": self._reference(PROBLEM), "examples": examples}},
        }

    def _refusal(self, status: int, codes: list[str]) -> dict[str, Any]:
        """Return a refusal without its content."""
        retry = ("Retry-After",) if status == 429 else ()
        return {
            "description": "; ".join(f"`{code}`: {REASONS[code].title}" for code in codes) + ".",
            "headers": self._headers(*self._rate_limits(), *retry),
            "content": {},
        }

    def _headers(self, *names: str) -> dict[str, Any]:
        return {
            name: self._component(name.replace("-", ""), ResolvedComponent.HEADER, RESPONSE_HEADERS[name])
            for name in (*_ALWAYS, *names)
        }

    def _reference(self, answer: Representation) -> dict[str, Any]:
        return self._component(answer.name, ResolvedComponent.SCHEMA, self._resolved(answer.schema))

    def _resolved(self, node: Any) -> Any:
        if isinstance(node, Representation):
            return self._reference(node)
        if isinstance(node, dict):
            return {key: self._resolved(value) for key, value in node.items()}
        return [self._resolved(value) for value in node] if isinstance(node, list) else node

    def _component(self, name: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        if kind == ResolvedComponent.SCHEMA:
            content = described(published(content))
        component = ResolvedComponent(name, kind, content, ComponentIdentity(name))
        self.registry.register_on_missing(component)
        if self.registry[component].schema != content:
            raise ValueError(f"two different {kind} of the OpenAPI document are called {name}")
        return component.ref


def _variables(path: str) -> Iterable[str]:
    return re.findall(r"{(\w+)}", path)


def _problem_example(code: str) -> dict[str, Any]:
    reason = REASONS[code]
    return {
        "summary": reason.title,
        "value": {
            "type": f"/docs/reason-codes#{code}",
            "title": reason.title,
            "status": reason.status,
            "detail": reason.advice,
            "category": reason.category.value,
            "reason_code": code,
            "correlation_id": _CORRELATION_ID,
            "errors": [],
        },
    }


def _is_required(schema: dict[str, Any]) -> bool:
    """Return True if an empty object does not fit the schema of a body."""
    alternatives = schema.get("oneOf") or schema.get("anyOf") or [{}]
    return bool(schema.get("required")) or all(entry.get("required") for entry in alternatives)
