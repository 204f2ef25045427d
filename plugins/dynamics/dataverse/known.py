"""What has been learnt of one account and holds for a while, so that its clients need not each ask anew."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from dynamics.core.crm import Organization
from dynamics.core.metadata import TableMetadata
from dynamics.dataverse.auth import TokenSource


@dataclass
class Known:
    """Tokens by application user, who we are, and what tables look like; the latter two with when they were read.

    Shared by clients of the same account, credentials included. Whoever made it closes it.
    """

    tokens: dict[str, TokenSource] = field(default_factory=dict, repr=False)
    organization: tuple[float, Organization] | None = None
    tables: dict[str, tuple[float, TableMetadata]] = field(default_factory=dict)
    asking: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def close(self) -> None:
        """Close the connections that tokens came by."""
        for tokens in self.tokens.values():
            tokens.close()
