"""Holds no DAG. When a file in include/actions has faults, this one cannot be imported, and Airflow shows why.

So a broken action is seen where a broken DAG is seen, and takes no other action's DAG away.
"""

from __future__ import annotations

from dynamics.config import action_faults, include_directory
from dynamics.errors import ConfigurationError

if faults := action_faults(include_directory()):
    raise ConfigurationError(faults)
