"""One run of the shipped DAG in an Airflow of its own; its params are the argument, as JSON.

No scheduler: Airflow's own test run, tasks in this process, with a metadata database in AIRFLOW_HOME. The
environment has to name AIRFLOW_HOME, log levels and the folders of DAGs and plugins before Airflow is imported.
"""

from __future__ import annotations

import json
import os
import sys

from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb


def main() -> None:
    initdb()
    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    run = bag.dags["dynamics_bulk_sync"].test(run_conf=json.loads(sys.argv[1]))
    print(f"the DAG run is {run.state}")


if __name__ == "__main__":
    main()
