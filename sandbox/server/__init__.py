"""The sandbox as a process: TLS, Entra ID, the Web API's transport, limits, faults, journal, control API.

What an organisation answers is `sandbox.dataverse`'s, what the capture system answers `sandbox.capture`'s.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path

from sandbox.server.keeping import KeptContentError
from sandbox.server.server import SandboxServer

__all__ = ["KeptContentError", "SandboxServer", "run", "serve"]


def run(
    port: int = 8443,
    orgs: int = 2,
    host: str = "localhost",
    ready_file: Path | None = None,
    state_dir: Path | None = None,
    sample: bool = False,
    keep: bool = False,
) -> None:
    """Run a sandbox until SIGTERM or SIGINT.

    Args:
        port: of the hub; organisations follow on the next ones. 0 takes any free ones.
        host: "localhost", or "sandbox" for other machines of a private network that know it by this name.
        ready_file: written, readable by its owner only, once all ports listen; removed at the end.
        state_dir: keeps certificates and credentials over restarts; without it they live as long as the process.
        sample: begin with the sample prospects and their CRM records loaded, unless content was kept.
        keep: keep records and prospects in `state_dir` from a clean stop to the next start.
    Raises:
        ValueError: `keep` without `state_dir`.
        KeptContentError: what was kept cannot be read.
        OSError: a port or a file cannot be opened.
    """
    if keep and state_dir is None:
        raise ValueError("to keep its content the sandbox needs a state folder")
    with ExitStack() as stack:
        folder = state_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
        server = SandboxServer(folder, port=port, orgs=orgs, host=host, ready_file=ready_file, sample=sample, keep=keep)
        asyncio.run(serve(server))


async def serve(server: SandboxServer) -> None:
    """Start a sandbox, say where it is on standard output, and stop it on a signal."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        await server.start()
        places = [organization["url"] for organization in server.ready["organizations"]]
        print("sandbox ready:", server.ready["control_url"], *places, flush=True)
        await stopped.wait()
    finally:
        await server.stop()
