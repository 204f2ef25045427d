"""Knobs of one organisation: what an administrator, another build or bad luck would change."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class OrganizationSettings:
    """Every field may be changed while the organisation runs.

    Args:
        filter_lag_s: rows written less than this many seconds ago are invisible to queries, never to reads by id.
        accent_insensitive: string comparison ignores accents as well as case (an organisation's SQL collation).
        strict_create_state: a POST that names a state other than the first is refused.
        bulk_disabled: tables without CreateMultiple, UpdateMultiple and UpsertMultiple.
        change_tracking_disabled: tables for which `odata.track-changes` is refused.
        change_tracking_days: age at which a delta token is no longer accepted.
        deadlock_probability: share of bulk writes refused as a SQL deadlock victim, 0..1.
        deadlock_seed: seed of that draw.
        version: what RetrieveVersion answers.
    """

    filter_lag_s: float = 0.0
    accent_insensitive: bool = False
    strict_create_state: bool = True
    bulk_disabled: set[str] = field(default_factory=set)
    change_tracking_disabled: set[str] = field(default_factory=set)
    change_tracking_days: float = 7.0
    deadlock_probability: float = 0.0
    deadlock_seed: int = 0
    version: str = "9.2.26031.154"
