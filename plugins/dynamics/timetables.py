"""The timetable of backfill DAGs: real intervals for `airflow backfill create`, and no run of its own accord."""

from __future__ import annotations

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable


class OnRequestTimetable(CronDataIntervalTimetable):
    """The intervals of a cron expression, for those who ask for them.

    A backfill asks for all intervals between two dates, whatever a DAG says of `catchup`. The scheduler asks with what
    the DAG says, so of a DAG that does not catch up it never hears of a next run.
    """

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )

    @property
    def summary(self) -> str:
        return "on request"
