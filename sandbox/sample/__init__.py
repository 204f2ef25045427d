"""Sample data: a trade show's prospects, a CRM that knows some of them already, and the known result of one sync.

`generate(seed, prospects, now)` gives a `Sample`; the same arguments give the same sample, to the byte.
"""

from __future__ import annotations

from sandbox.sample.generator import SHOW_ENDS, generate
from sandbox.sample.model import Expected, Sample

__all__ = ["SHOW_ENDS", "Expected", "Sample", "generate"]
