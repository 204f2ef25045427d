"""Registers this project with Airflow as a plugin: the only file below plugins/ that Airflow itself loads.

`.airflowignore` keeps the package out, which is installed and imported by its name. This file is loaded in every
Airflow process and in every task, so it imports nothing heavy.
"""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from dynamics.timetables import OnRequestTimetable


class DynamicsPlugin(AirflowPlugin):
    """Pages and links of the UI will hang here."""

    name = "dynamics"
    timetables = [OnRequestTimetable]  # noqa: RUF012 - Airflow's own way
