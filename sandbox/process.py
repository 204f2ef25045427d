"""Runs a sandbox in a process of its own, for tests, drills, benchmarks and the demo."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

import orjson
import requests


class SandboxFailedError(RuntimeError):
    """The sandbox did not come up; the text holds its own words."""


class SandboxProcess:
    """A running sandbox.

    Args:
        ready: what its ready file holds (secrets included).
        ca_bundle: path of the certificate to trust, as `ready["ca_bundle"]`.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        ready: dict[str, Any],
        scratch: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self.ready = ready
        self.ca_bundle: str = ready["ca_bundle"]
        self._process = process
        self._scratch = scratch
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or a bundle of the environment is not meant for this
        self._session.verify = self.ca_bundle
        self._session.headers["X-Control-Key"] = ready["control_key"]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def control(self, method: str, path: str, json: object = None) -> Any:
        """Call the control API on the hub.

        Args:
            path: below `/_sandbox/`, query included: "journal?table=lead".
        Returns:
            The decoded answer.
        Raises:
            requests.HTTPError: refused; the answer's text says why.
        """
        body = None if json is None else orjson.dumps(json)
        url = f"{self.ready['control_url']}/_sandbox/{path}"
        response = self._session.request(method, url, data=body, timeout=120)
        if not response.ok:
            raise requests.HTTPError(f"{response.status_code} {response.text}", response=response)
        return orjson.loads(response.content)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal, wait until it has ended, and give its exit status."""
        self._session.close()
        self._process.send_signal(number)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._scratch is not None:
            self._scratch.cleanup()
        return self._process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    *,
    port: int = 0,
    orgs: int = 2,
    state_dir: Path | None = None,
    sample: bool = False,
    keep: bool = False,
    timeout_s: float = 60.0,
) -> SandboxProcess:
    """Start a sandbox and wait until it listens.

    Args:
        state_dir: where it keeps credentials, its ready file and its log; without it, a folder that goes with it.
        sample: load the sample, unless content was kept.
        keep: keep records and prospects in `state_dir` from a clean stop to the next start.
    Raises:
        ValueError: `keep` without `state_dir`.
        SandboxFailedError: it ended, or did not listen in time.
    """
    if keep and state_dir is None:
        raise ValueError("to keep its content the sandbox needs a state folder")
    scratch = None
    if state_dir is None:
        scratch = tempfile.TemporaryDirectory(prefix="sandbox-")
        state_dir = Path(scratch.name)
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    ready_file, log = state_dir / "ready.json", state_dir / "server.log"
    command = [sys.executable, "-m", "sandbox.server", f"--port={port}", f"--orgs={orgs}"]
    command += [f"--ready-file={ready_file}", f"--state-dir={state_dir}"]
    command += [option for option, wanted in (("--sample", sample), ("--keep", keep)) if wanted]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)  # noqa: S603 - our own module
    if not _says_ready(process, timeout_s):
        process.kill()
        process.wait()
        raise SandboxFailedError(f"the sandbox did not start: {log.read_text().strip() or 'no word from it in time'}")
    return SandboxProcess(process, orjson.loads(ready_file.read_bytes()), scratch)


def _says_ready(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait for the line the server prints once it listens; False when it ends or the time is over first."""
    with cast(IO[bytes], process.stdout) as output:
        readable, _, _ = select.select([output], [], [], timeout_s)
        return bool(readable) and bool(output.readline())
