"""Every planted case: how the prospect and the CRM are arranged, and therefore what a sync must do.

Results are known by construction; nothing here compares or matches. The rules are those of the action `booth-leads`:
contacts then leads, e-mail then name, several -> the most recently updated, create a lead.
"""

from __future__ import annotations

from sandbox.sample.cases_joined import JOINED
from sandbox.sample.cases_matched import MATCHED
from sandbox.sample.cases_unmatched import NEW, UNMATCHED
from sandbox.sample.stage import Case

# Filled up with `NEW` to the number of prospects asked for.
PLANTED: tuple[Case, ...] = (*MATCHED, *UNMATCHED, *JOINED)

__all__ = ["NEW", "PLANTED"]
