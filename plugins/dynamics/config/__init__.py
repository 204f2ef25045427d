"""Configuration, read once at the edge: connections and the files of include/ become frozen types.

`connections` reads Airflow's connection form from the environment, `accounts` turns connections into accounts,
`actions` reads sync actions, `mapping_sets` mapping tables, and `settings` what holds for all of them. Every fault is a
`Fault` with file, line and remedy, all at once.
"""

from __future__ import annotations

from dynamics.config.accounts import audit_url, captello_account, dynamics_account
from dynamics.config.actions import (
    Duplicates,
    ReadAction,
    SyncAction,
    Triggers,
    line_of,
    list_actions,
    load_action,
    read_action,
)
from dynamics.config.automation import PERIODS, Automation
from dynamics.config.connections import ConnectionFields, connection_from_environment
from dynamics.config.include import include_directory
from dynamics.config.mapping_sets import MappingSet, load_mapping_set, read_mapping_set
from dynamics.config.scheduled import ScheduledAction, action_faults, scheduled_actions
from dynamics.config.settings import Links, Notice, Retention, Settings, load_settings, settings_fault

__all__ = [
    "PERIODS",
    "Automation",
    "ConnectionFields",
    "Duplicates",
    "Links",
    "MappingSet",
    "Notice",
    "ReadAction",
    "Retention",
    "ScheduledAction",
    "Settings",
    "SyncAction",
    "Triggers",
    "action_faults",
    "audit_url",
    "captello_account",
    "connection_from_environment",
    "dynamics_account",
    "include_directory",
    "line_of",
    "list_actions",
    "load_action",
    "load_mapping_set",
    "load_settings",
    "read_action",
    "read_mapping_set",
    "scheduled_actions",
    "settings_fault",
]
