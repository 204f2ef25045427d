"""Airflow connection id to ready client."""
