"""Console URLs of public ids."""

from __future__ import annotations

from django.apps import apps
from django.contrib import admin

from threada_site.admin.html import page_url
from threada_site.kernel import ids


def url_for_public_id(public_id: str) -> str | None:
    """Return the URL of the page for `public_id`, or None for an unknown prefix. The page itself checks existence.

    Other pages of the same rows, of proxy models, have no part in it.
    """
    prefix = public_id.partition("_")[0]
    registered = [model for model in apps.get_models() if admin.site.is_registered(model) and not model._meta.proxy]
    pages = {
        getattr(admin.site.get_model_admin(model), "id_prefix", ""): model._meta.label_lower for model in registered
    }
    if not prefix or prefix not in pages or ids.parse_public_id(prefix, public_id) is None:
        return None
    return page_url(pages[prefix], public_id)
