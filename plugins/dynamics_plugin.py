"""Registers this project with Airflow as a plugin: the only file below plugins/ that Airflow itself loads.

`.airflowignore` keeps the package out, which is installed and imported by its name. This file is loaded in every
Airflow process and in every task, so it imports nothing heavy.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from dynamics.timetables import OnRequestTimetable


class DynamicsPlugin(AirflowPlugin):
    """Routes, pages and links."""

    name = "dynamics"
    # A plain link: in a frame of Airflow's, records could not be opened.
    external_views = [  # noqa: RUF012 - Airflow's own way
        {"name": "Dynamics runs", "href": "/dynamics/runs", "destination": "nav", "category": "browse"}
    ]
    timetables = [OnRequestTimetable]  # noqa: RUF012 - Airflow's own way

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """Read by the API server when it begins, and by no task: the app is made and its libraries loaded only then."""
        from dynamics.web.app import create_app

        return [{"app": create_app(), "url_prefix": "/dynamics", "name": "Dynamics"}]
