"""Storages of Django. Attachments are the only files that people upload."""

import json
from pathlib import Path
from typing import Any

from threada_site.settings.environment import DATA_DIR, text

# Attachments are stored in a folder that all hosts share, or by a storage class of Django, for example
# `storages.backends.s3.S3Storage`, with a JSON file of its options.
_class = text("THREADA_ATTACHMENT_STORAGE")
_options_file = text("THREADA_ATTACHMENT_STORAGE_OPTIONS_FILE")
_folder = Path(text("THREADA_ATTACHMENT_DIR") or DATA_DIR / "attachments").absolute()
_options: dict[str, Any] = json.loads(Path(_options_file).read_text()) if _options_file else {}
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "attachments": {"BACKEND": _class, "OPTIONS": _options}
    if _class
    else {"BACKEND": "workitems.file_storage.folder.AttachmentFolder", "OPTIONS": {"location": _folder}},
}
