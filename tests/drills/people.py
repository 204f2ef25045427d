"""Distinct, plain prospects for drills: what is drilled is the engine, not the data."""

from __future__ import annotations

from typing import Any


def prospects(count: int, *, revision: int = 1, job_title: str = "Engineer") -> list[dict[str, Any]]:
    """`count` people who share nothing; prospect n has the e-mail person<n>@drill.example."""
    return [
        {
            "id": f"pro_{n:08d}",
            "revision": revision,
            "status": "active",
            "created_at": "2026-03-14T09:00:00.000Z",
            "updated_at": f"2026-03-14T09:{revision:02d}:00.000Z",
            "first_name": f"First{n}",
            "last_name": f"Last{n}",
            "email": f"person{n}@drill.example",
            "job_title": job_title,
        }
        for n in range(count)
    ]
