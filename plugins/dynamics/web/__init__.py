"""The routes that this project adds to Airflow's API server."""
