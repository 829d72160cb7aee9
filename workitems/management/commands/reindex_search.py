from typing import Any

from django.core.management.base import BaseCommand

from workitems.search.sweep import index_everything


class Command(BaseCommand):
    help = "Write the search documents of all work items again, for example after a change of the sensitive classes."

    def handle(self, **_options: Any) -> None:
        self.stdout.write(f"{index_everything()} work items can be searched.")
