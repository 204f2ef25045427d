"""Reliability drills: the real command line against a real PostgreSQL and the sandbox, judged from the outside."""
