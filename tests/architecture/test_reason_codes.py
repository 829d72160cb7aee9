"""One registry of reason codes, derived from the error classes."""

from __future__ import annotations

from threada_site.kernel import errors
from threada_site.kernel.errors import REASONS, ThreadaError
from threada_site.kernel.errors.outcomes import OUTCOME_REASONS


def error_classes() -> list[type[ThreadaError]]:
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ThreadaError)]


def declared_codes() -> list[str]:
    """Reason codes that classes declare themselves; subclasses may share the code of their parent."""
    return [vars(cls)["reason_code"] for cls in error_classes() if "reason_code" in vars(cls)]


def test_each_code_is_declared_once() -> None:
    codes = declared_codes() + [reason.code for reason in OUTCOME_REASONS]
    assert [code for code in codes if codes.count(code) > 1] == []
    assert set(codes) == REASONS.keys()


def test_a_class_that_declares_a_code_declares_status_title_and_advice_too() -> None:
    for cls in error_classes():
        if "reason_code" in vars(cls):
            assert {"status", "title", "advice"} <= vars(cls).keys(), cls.__name__


def test_codes_of_classes_have_a_status_and_others_have_none() -> None:
    declared = set(declared_codes())
    assert {code for code, reason in REASONS.items() if reason.status is not None} == declared


def test_every_code_has_a_title_and_advice() -> None:
    assert [code for code, reason in REASONS.items() if not (reason.title and reason.advice)] == []
