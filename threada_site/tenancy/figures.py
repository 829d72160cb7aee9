"""The figures for `/metrics`: measured on the spot, or as a worker last measured them.

Measuring takes the platform's role. Where the web has a login of its own, which may not, a worker keeps the figures in
a row every ten seconds, and the web tells how old they are.
"""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from threada_site.database.roles import PLATFORM, may_take, platform_role
from threada_site.kernel import clock
from threada_site.kernel.measurements import Measurement, Meter
from threada_site.tenancy.instance_models import KeptFigures


def measured() -> list[Measurement]:
    """All figures of all meters, now. Takes the platform's role."""
    with platform_role():
        return [figure for meter in _meters() for figure in meter()]


def figures_to_show() -> list[Measurement]:
    """The figures, measured now where this login may, else those kept, with their age."""
    if _may_measure():
        return measured()
    kept = KeptFigures.objects.first()
    if kept is None:
        return []
    age = (clock.now() - kept.measured_at).total_seconds()
    return [
        Measurement("threada_figures_age_seconds", "How long ago a worker measured these figures.", age),
        *(
            Measurement(name, text, value, tuple((k, v) for k, v in labels))
            for name, text, value, labels in kept.figures
        ),
    ]


def keep_figures() -> None:
    """Measure, and keep it for the web, where that may not measure itself."""
    if settings.THREADA_HAS_PLATFORM_LOGIN:
        figures = [list(figure) for figure in measured()]
        KeptFigures.objects.update_or_create(id=1, defaults={"figures": figures, "measured_at": clock.now()})


@cache
def _may_measure() -> bool:
    return may_take(PLATFORM)


@cache
def _meters() -> tuple[Meter, ...]:
    return tuple(import_string(name) for name in settings.THREADA_METERS)
