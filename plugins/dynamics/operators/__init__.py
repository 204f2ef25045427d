"""Airflow tasks: hook, store and engine wired together."""
