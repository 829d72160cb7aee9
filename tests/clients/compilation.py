"""Generation, compilation and linting of clients as processes that run at the same time."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.clients.conftest import REPOSITORY, SOURCES

SCENARIOS: Final = REPOSITORY / "tests" / "clients" / "scenarios"
_SPECTRAL: Final = """
extends: ["spectral:oas"]
rules: {oas3-operation-security-defined: "off", info-contact: "off"%s}
"""
"""Scopes of a bearer token are legal in OpenAPI 3.1; who answers for an instance is no matter of its document."""
_EXAMPLES: Final = ', oas3-valid-media-example: "off", oas3-valid-schema-example: "off"'
"""Redocly checks the examples as well, in a third of the time."""
_REDOCLY: Final = "extends: [recommended]\nrules: {no-invalid-media-type-examples: error}\n"
_TYPESCRIPT: Final = """{
  "extends": "./tsconfig.json",
  "compilerOptions": {
    "rootDir": ".", "outDir": "out", "declaration": false, "paths": {"@threada/client": ["./src/index.ts"]}
  },
  "include": ["src", "scenarios"]
}"""


@dataclass
class Compilation:
    """Processes by name. `folder`: a working folder; `installed`: what `.ci/run` installed."""

    installed: Path
    folder: Path
    document: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def typescript(self) -> Path:
        return self.folder / "typescript"

    def begin(self) -> None:
        """Start everything."""
        self._prepare_typescript()
        python, generators = self.installed / "python" / "bin", self.installed / "generators" / "bin"
        generate = (
            f"{generators}/openapi-python-client generate --fail-on-warning --meta none --overwrite "
            f"--config {self._file('generator.yaml', 'post_hooks: []')} "
            f"--path {self.document} --output-path {self.folder / 'threada_generated'}"
        )
        scenario = SCENARIOS / "generated_python.py"
        self._start("python", f"{generate} && {generators}/mypy {self.folder / 'threada_generated'} {scenario}")
        settings = SOURCES / "python" / "pyproject.toml"
        checked = f"{SOURCES / 'python' / 'src' / 'threada_client'} {SCENARIOS / 'twenty_steps.py'} {SCENARIOS / 'asynchronous.py'}"
        self._start(
            "client", f"{generators}/mypy --python-executable {python}/python --config-file {settings} {checked}"
        )
        npm = self.installed / "typescript" / "node_modules" / ".bin"
        types = f"npm run --silent generate -- && {npm}/openapi-ts -i {self.document} -o scenarios/hey --silent"
        self._start("typescript", f"{types} && {npm}/tsc --project tsconfig.tests.json", folder=self.typescript)
        examples = "" if os.environ.get("THREADA_NIGHTLY") == "1" else _EXAMPLES
        rules = self._file("spectral.yaml", _SPECTRAL % examples)
        self._start("spectral", f"{npm}/spectral lint {self.document} -r {rules} --fail-severity warn")
        rules = self._file("redocly.yaml", _REDOCLY)
        self._start("redocly", f"{npm}/redocly lint {self.document} --config {rules}")

    def done(self, name: str) -> str:
        """Return the output of a process that has succeeded."""
        code = self.processes[name].wait()
        output = self._output(name).read_text()
        assert code == 0, output
        return output

    def end(self) -> None:
        """End what still runs."""
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _prepare_typescript(self) -> None:
        """Copy the client and the scenarios next to the npm packages."""
        shutil.copytree(SOURCES / "typescript", self.typescript, ignore=shutil.ignore_patterns("node_modules", "dist"))
        (self.typescript / "scenarios").mkdir()
        for scenario in SCENARIOS.glob("*.ts"):
            shutil.copy(scenario, self.typescript / "scenarios")
        (self.typescript / "tsconfig.tests.json").write_text(_TYPESCRIPT)
        (self.typescript / "dist").symlink_to(self.typescript / "out" / "src")
        modules = self.typescript / "node_modules"
        modules.mkdir()
        for package in (self.installed / "typescript" / "node_modules").iterdir():
            (modules / package.name).symlink_to(package)
        (modules / "@threada").mkdir()
        (modules / "@threada" / "client").symlink_to(self.typescript)

    def _file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return shlex.quote(str(path))

    def _output(self, name: str) -> Path:
        return self.folder / f"{name}.out"

    def _start(self, name: str, command: str, *, folder: Path | None = None) -> None:
        with self._output(name).open("wb") as output:
            self.processes[name] = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=folder or self.folder,
                env={**os.environ, "THREADA_OPENAPI": str(self.document), "NO_COLOR": "1", "DO_NOT_TRACK": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
