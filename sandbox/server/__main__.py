"""`python -m sandbox.server`: options in, a running sandbox out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sandbox.server import KeptContentError, run
from sandbox.server.server import HOSTS


def main() -> None:
    """Read the options and run until a signal."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.server", description="Run a sandbox until SIGTERM or SIGINT."
    )
    parser.add_argument("--port", type=int, default=8443, help="port of the hub; 0 takes any free ports")
    parser.add_argument("--orgs", type=int, default=2, help="number of organisations, on the next ports")
    parser.add_argument("--host", choices=tuple(HOSTS), default="localhost", help="what it calls itself")
    parser.add_argument("--ready-file", type=Path, help="written once everything listens; holds credentials")
    parser.add_argument("--state-dir", type=Path, help="keeps certificates and credentials over restarts")
    parser.add_argument("--sample", action="store_true", help="begin with the sample data loaded")
    parser.add_argument("--keep", action="store_true", help="keep records and prospects there as well")
    options = parser.parse_args()
    if options.keep and options.state_dir is None:
        parser.error("--keep needs --state-dir")
    try:
        run(**vars(options))
    except (OSError, KeptContentError) as error:
        sys.exit(f"sandbox: {error}")


if __name__ == "__main__":
    main()
