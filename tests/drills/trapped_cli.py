"""`dynamics-sync` in a process where names lead into a trap; drills run it as a process of its own.

Reads a JSON object from stdin: `trap` and `plain_trap`, the ports where every address leads to; `open`, ports of this
machine that are left alone; `cases`, each with `words` of the command line and `connections`, variables to set. Prints
a line of JSON for each case: exit code, text, and the hosts that were looked up.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys
from typing import Any

import typer

from dynamics import cli

HERE = ("localhost", "127.0.0.1")
looked_up: list[str] = []
resolve = socket.getaddrinfo


def main() -> None:
    """Run the cases one after the other."""
    task = json.load(sys.stdin)

    def trapped(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        if host in HERE and port in task["open"]:
            return resolve(host, port, *rest, **named)
        looked_up.append(str(host))
        return resolve("127.0.0.1", task["plain_trap"] if port == 80 else task["trap"], *rest, **named)

    socket.getaddrinfo = trapped
    for case in task["cases"]:
        os.environ.update(case["connections"])
        looked_up.clear()
        code, text = _run(case["words"])
        print(json.dumps({"code": code, "text": text, "hosts": looked_up}), flush=True)


def _run(words: list[str]) -> tuple[int, str]:
    """Exit code and text of one command. The consoles are bound to the streams at import, so they are told anew."""
    text = io.StringIO()
    for console in (cli.console, cli.complaints):
        console.file = text
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            code = cli.app(words, standalone_mode=False)
        except (typer.Exit, SystemExit) as left:
            code = getattr(left, "exit_code", getattr(left, "code", None))
        except Exception as unknown:  # noqa: BLE001 - as a shell would see it: a traceback, and exit code 1
            code, _ = 1, text.write(f"{type(unknown).__name__}: {unknown}")
    return int(code or 0), text.getvalue()


if __name__ == "__main__":
    main()
