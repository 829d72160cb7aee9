"""Templates `${ … }` of action documents, as packages of connectors import them."""

from threada_site.kernel.templates import (
    VARIABLES,
    Parts,
    Place,
    Template,
    climbs,
    compile_template,
    render,
)

__all__ = ["VARIABLES", "Parts", "Place", "Template", "climbs", "compile_template", "render"]
