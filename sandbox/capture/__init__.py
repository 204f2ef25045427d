"""The capture system's API, version 1, as aiohttp handlers over prospects held in memory.

`CaptureService` is the whole of it: `add_routes` mounts `/v1/...` and `/capture/oauth2/token`, `load` fills it.
"""

from __future__ import annotations

from sandbox.capture.service import CaptureService

__all__ = ["CaptureService"]
