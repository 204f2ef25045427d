"""The demo: PostgreSQL, sandbox and Airflow on one machine, and a bulk sync of the sample trade show."""
