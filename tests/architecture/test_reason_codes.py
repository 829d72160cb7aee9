"""One registry of reason codes, and nothing beside it."""

from __future__ import annotations

from threada_site.kernel import errors
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.reasons import REASONS, TABLES


def test_reason_code_is_in_one_table_only() -> None:
    codes = [reason.code for table in TABLES for reason in table]
    assert [code for code in codes if codes.count(code) > 1] == []
    assert list(REASONS) == codes


def test_every_error_has_a_code_of_its_own() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ThreadaError)]
    codes = [cls.reason_code for cls in classes if cls is not ThreadaError]
    assert len(set(codes)) == len(codes)
    assert set(codes) <= REASONS.keys()


def test_every_problem_code_has_an_error_class() -> None:
    raised = {
        cls.reason_code for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, ThreadaError)
    }
    assert {code for code, reason in REASONS.items() if reason.status is not None} - raised == set()


def test_every_code_says_what_to_do_next() -> None:
    assert [code for code, reason in REASONS.items() if not (reason.title and reason.advice)] == []
