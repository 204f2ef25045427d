"""Targets are decoded once, and named by what they are about to do."""

from __future__ import annotations

import pytest

from sandbox.server.target import Target, decode, operation_of


@pytest.mark.parametrize(
    ("raw", "path", "query"),
    [
        ("/api/data/v9.2/leads", "/api/data/v9.2/leads", ()),
        ("/a?$filter=x%20eq%20%27O%27%27Brien%27", "/a", (("$filter", "x eq 'O''Brien'"),)),
        ("/a?$filter=x+eq+1%2B1", "/a", (("$filter", "x eq 1+1"),)),  # + is a blank in a query ...
        ("/leads(k='a+b')", "/leads(k='a+b')", ()),  # ... and a plus in a path
        ("/leads(k='100%2525')", "/leads(k='100%25')", ()),  # once, not twice
        ("/a?q=%2527", "/a", (("q", "%27"),)),
        ("/a?x=1&y&&z=a=b", "/a", (("x", "1"), ("y", ""), ("z", "a=b"))),
        ("/a?x=%26", "/a", (("x", "&"),)),
        ("https://localhost:1/api/x?y=1", "/api/x", (("y", "1"),)),
        ("/a?url=https://elsewhere/b", "/a", (("url", "https://elsewhere/b"),)),
        ("/a(b='c?d')", "/a(b='c", (("d')", ""),)),
    ],
)
def test_decode(raw: str, path: str, query: tuple[tuple[str, str], ...]) -> None:
    assert decode(raw) == Target(path, query)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/data/v9.2/leads", "leads"),
        ("/api/data/v9.0", ""),
        ("/api/data/v9.1/", ""),
        ("/api/data/v9.3/leads", None),
        ("/api/data/v9.25/leads", None),
        ("/main.aspx", None),
    ],
)
def test_service_path(path: str, expected: str | None) -> None:
    assert Target(path, ()).service_path == expected


@pytest.mark.parametrize(
    ("method", "path", "has_if_match", "expected"),
    [
        ("POST", "leads", False, "Create"),
        ("PATCH", "leads(1)", False, "Upsert"),
        ("PATCH", "leads(1)", True, "Update"),
        ("DELETE", "leads(1)", False, "Delete"),
        ("GET", "leads(1)", False, "Retrieve"),
        ("GET", "leads", False, "RetrieveMultiple"),
        ("POST", "leads/Microsoft.Dynamics.CRM.CreateMultiple", False, "CreateMultiple"),
        ("POST", "leads(1)/Microsoft.Dynamics.CRM.QualifyLead", False, "QualifyLead"),
        ("GET", "WhoAmI", False, "WhoAmI"),
        ("GET", "RetrieveTotalRecordCount(EntityNames=['lead'])", False, "RetrieveTotalRecordCount"),
        ("POST", "$batch", False, "Batch"),
        ("GET", "EntityDefinitions(LogicalName='lead')/Attributes", False, "Metadata"),
        ("PUT", "leads(1)/campaignid/$ref", False, "Associate"),
        ("DELETE", "leads(1)/campaignid/$ref", False, "Disassociate"),
    ],
)
def test_operation_of(method: str, path: str, has_if_match: bool, expected: str) -> None:
    assert operation_of(method, path, has_if_match) == expected
