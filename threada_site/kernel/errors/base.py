"""The root of all refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from threada_site.kernel.errors.reason import Category, Reason


@dataclass(frozen=True, slots=True)
class FieldError:
    """Error at one place of a request or document. `pointer` is an RFC 6901 JSON pointer ("" is the root).

    `line` and `column` count from 1: in the expression at `pointer` or, for a document that was read from text
    (`Document.located`), in that text.
    """

    pointer: str
    detail: str
    code: str = "invalid"
    line: int | None = None
    column: int | None = None

    def as_json(self) -> dict[str, str | int]:
        place = {} if self.line is None or self.column is None else {"line": self.line, "column": self.column}
        return {"pointer": self.pointer, "detail": self.detail, "code": self.code, **place}


class ThreadaError(Exception):
    """Typed refusal. `detail` is a sentence for the caller that says what to do next; it contains no secrets.

    `keeps_changes`: changes made before it was raised (a decision that denies, an item that is refused) are
    committed; any other refusal rolls everything back.
    """

    category: ClassVar[Category] = Category.EXECUTION
    reason_code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    advice: ClassVar[str] = "Report the correlation id to the operator of the instance."

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        reasons: Sequence[dict[str, Any]] = (),
        headers: dict[str, str] | None = None,
        keeps_changes: bool = False,
        **extensions: Any,
    ) -> None:
        self.detail = detail or f"{self.title}. {self.advice}"
        self.errors = tuple(errors)
        self.reasons = tuple(reasons)
        self.headers = headers or {}
        self.keeps_changes = keeps_changes
        self.extensions = extensions
        super().__init__(self.detail)

    @classmethod
    def reason(cls) -> Reason:
        """Return the registry entry of this class: code, category, HTTP status, title and advice."""
        return Reason(cls.reason_code, cls.category, cls.status, cls.title, cls.advice)


class ValidationRefusal(ThreadaError):
    """The request or document cannot be accepted as sent."""

    category = Category.VALIDATION


class AuthorizationRefusal(ThreadaError):
    """The caller may not do this."""

    category = Category.AUTHORIZATION


class PolicyRefusal(ThreadaError):
    """A policy or a person refuses, or has not decided yet."""

    category = Category.POLICY


class ExecutionRefusal(ThreadaError):
    """An execution or the instance cannot do this now."""

    category = Category.EXECUTION
