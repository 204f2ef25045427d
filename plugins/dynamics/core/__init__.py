"""Pure decisions: no clock, network, database or Airflow."""
