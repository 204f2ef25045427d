"""Metadata: tables, casts, choices, keys, relationships, CSDL; and schema changes through the Web API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

from tests.unit.sandbox.dataverse.desk import API, Desk, header

LEAD = "EntityDefinitions(LogicalName='lead')"
CRM = "Microsoft.Dynamics.CRM"


def test_a_table(desk: Desk) -> None:
    table = desk.ok("GET", f"{LEAD}?$select=EntitySetName,PrimaryIdAttribute,ObjectTypeCode,ChangeTrackingEnabled")
    assert (table["EntitySetName"], table["PrimaryIdAttribute"], table["ObjectTypeCode"]) == ("leads", "leadid", 4)
    assert table["ChangeTrackingEnabled"] is True
    assert desk.ok("GET", f"EntityDefinitions({table['MetadataId']})")["LogicalName"] == "lead"
    assert desk.call("GET", f"{LEAD}/ObjectTypeCode/$value").body == b"4"
    found = desk.ok("GET", "EntityDefinitions?$select=LogicalName&$filter=ChangeTrackingEnabled eq true")["value"]
    assert {"lead", "contact", "account"} <= {each["LogicalName"] for each in found}
    assert desk.refused("GET", "EntityDefinitions(LogicalName='nosuch')")[0] == 404


def test_columns_by_cast(desk: Desk) -> None:
    texts = desk.ok("GET", f"{LEAD}/Attributes/{CRM}.StringAttributeMetadata?$select=LogicalName,MaxLength")["value"]
    lengths = {each["LogicalName"]: each["MaxLength"] for each in texts}
    assert (lengths["mobilephone"], lengths["subject"], lengths["cap_badgeid"]) == (20, 300, 100)
    lookups = desk.ok("GET", f"{LEAD}/Attributes/{CRM}.LookupAttributeMetadata?$select=LogicalName,Targets")["value"]
    assert {"ownerid", "customerid", "campaignid"} <= {each["LogicalName"] for each in lookups}
    for uncast in (f"{LEAD}/Attributes", f"{LEAD}/Attributes(LogicalName='subject')"):
        assert desk.refused("GET", f"{uncast}?$select=MaxLength")[0] == 400


def test_columns_by_typed_filter(desk: Desk) -> None:
    condition = quote(f"AttributeType eq {CRM}.AttributeTypeCode'Picklist'")
    picked = desk.ok("GET", f"{LEAD}/Attributes?$select=LogicalName&$filter={condition}")["value"]
    assert "leadsourcecode" in {each["LogicalName"] for each in picked}
    condition = quote(f"RequiredLevel/Value eq {CRM}.AttributeRequiredLevel'ApplicationRequired'")
    required = desk.ok("GET", f"{LEAD}/Attributes?$select=LogicalName&$filter={condition}")["value"]
    assert {"subject", "lastname"} <= {each["LogicalName"] for each in required}
    companions = [c for c in desk.ok("GET", f"{LEAD}/Attributes")["value"] if c["AttributeOf"] == "campaignid"]
    assert [each["LogicalName"] for each in companions] == ["campaignidname"]


def test_choices(desk: Desk) -> None:
    cast = f"{LEAD}/Attributes/{CRM}.PicklistAttributeMetadata"
    query = "?$select=LogicalName&$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)"
    sets = {each["LogicalName"]: each for each in desk.ok("GET", cast + query)["value"]}
    options = {
        o["Value"]: o["Label"]["UserLocalizedLabel"]["Label"] for o in sets["leadsourcecode"]["OptionSet"]["Options"]
    }
    assert options[7] == "Trade Show"
    assert sets["leadsourcecode"]["GlobalOptionSet"] is None
    assert sets["purchasetimeframe"]["GlobalOptionSet"]["Options"]
    status = f"{LEAD}/Attributes(LogicalName='statuscode')/{CRM}.StatusAttributeMetadata?$expand=OptionSet"
    assert [o["State"] for o in desk.ok("GET", status)["OptionSet"]["Options"]] == [0, 0, 1, 2, 2, 2, 2]
    flag = f"{LEAD}/Attributes(LogicalName='donotemail')/{CRM}.BooleanAttributeMetadata?$expand=OptionSet"
    assert desk.ok("GET", flag)["OptionSet"]["TrueOption"]["Value"] == 1
    assert desk.ok("GET", "GlobalOptionSetDefinitions(Name='purchasetimeframe')")["IsGlobal"] is True
    assert desk.refused("GET", f"{LEAD}/Attributes(LogicalName='subject')/{CRM}.StatusAttributeMetadata")[0] == 404


def test_navigation_names_and_keys(desk: Desk) -> None:
    query = "?$select=ReferencingAttribute,ReferencedEntity,ReferencingEntityNavigationPropertyName"
    found = desk.ok("GET", f"{LEAD}/ManyToOneRelationships{query}")["value"]
    names = {
        (r["ReferencingAttribute"], r["ReferencedEntity"]): r["ReferencingEntityNavigationPropertyName"] for r in found
    }
    assert names["customerid", "account"] == "customerid_account"
    assert names["slaid", "sla"] == "sla_lead_sla"
    assert names["ownerid", "owner"] == "ownerid"
    (key,) = desk.ok("GET", f"{LEAD}/Keys?$select=SchemaName,KeyAttributes,EntityKeyIndexStatus")["value"]
    assert (key["KeyAttributes"], key["EntityKeyIndexStatus"]) == (["cap_badgeid"], "Active")
    collections = desk.ok("GET", "EntityDefinitions(LogicalName='account')/OneToManyRelationships")["value"]
    assert "contact_customer_accounts" in {each["SchemaName"] for each in collections}
    assert desk.ok("GET", f"{LEAD}/ManyToManyRelationships")["value"] == []


def test_expanded_attributes(desk: Desk) -> None:
    table = desk.ok("GET", f"{LEAD}?$select=LogicalName&$expand=Attributes($select=LogicalName),Keys")
    assert {"MetadataId", "LogicalName", "@odata.type"} == set(table["Attributes"][0])
    assert table["Keys"][0]["KeyAttributes"] == ["cap_badgeid"]


def test_csdl(desk: Desk) -> None:
    response = desk.call("GET", "$metadata")
    assert header(response, "Content-Type") == "application/xml"
    edm = "{http://docs.oasis-open.org/odata/ns/edm}"
    root = ElementTree.fromstring(response.body)
    lead = next(each for each in root.iter(f"{edm}EntityType") if each.get("Name") == "lead")
    types = {each.get("Name"): each.get("Type") for each in lead.iter(f"{edm}Property")}
    assert (types["leadid"], types["_campaignid_value"], types["statecode"]) == ("Edm.Guid", "Edm.Guid", "Edm.Int32")
    assert "campaignid" in {each.get("Name") for each in lead.iter(f"{edm}NavigationProperty")}
    assert "leads" in {each.get("Name") for each in root.iter(f"{edm}EntitySet")}


def test_the_service_document(desk: Desk) -> None:
    assert {"name": "leads", "kind": "EntitySet", "url": "leads"} in desk.ok("GET", "")["value"]


def _label(text: str) -> dict[str, Any]:
    return {"LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]}


def _column(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"@odata.type": f"{CRM}.{kind}AttributeMetadata", "SchemaName": name, "DisplayName": _label(name), **more}


def test_a_new_table_works_like_a_shipped_one(desk: Desk) -> None:
    columns = [
        _column("String", "new_Name", MaxLength=10, IsPrimaryName=True),
        _column("Picklist", "new_Kind", OptionSet={"Options": [{"Value": 100000000, "Label": _label("Big")}]}),
    ]
    response = desk.call("POST", "EntityDefinitions", {"SchemaName": "new_Stand", "Attributes": columns})
    assert response.status == 204
    address = (header(response, "OData-EntityId") or "").rpartition("/")[2]
    desk.ok("POST", f"{address}/Attributes", _column("Integer", "new_Size", MinValue=0, MaxValue=9))
    desk.ok("POST", f"{address}/Keys", {"SchemaName": "new_NameKey", "KeyAttributes": ["new_name"]})
    relation = {"SchemaName": "new_lead_stand", "ReferencingEntity": "new_stand", "ReferencedEntity": "lead"}
    desk.ok("POST", "RelationshipDefinitions", {**relation, "Lookup": _column("Lookup", "new_LeadId")})
    desk.ok("POST", "leads", {"leadid": "00000000-0000-4000-8000-00000000000a", "lastname": "Ruiz"})
    bind = {"new_LeadId@odata.bind": "/leads(00000000-0000-4000-8000-00000000000a)"}
    desk.ok("PATCH", "new_stands(new_name='A1')", {"new_kind": 100000000, "new_size": 9, **bind})
    assert desk.refused("POST", "new_stands", {"new_size": 10})[1] == "0x8004432f"
    assert desk.refused("POST", "new_stands", {"new_name": "x" * 11})[1] == "0x80044331"
    (row,) = desk.ok("GET", "leads(00000000-0000-4000-8000-00000000000a)/new_lead_stand")["value"]
    assert (row["new_name"], row["statecode"]) == ("A1", 0)
    desk.ok("DELETE", f"{address}/Attributes(LogicalName='new_size')")
    assert desk.refused("GET", "new_stands?$select=new_size")[0] == 400
    desk.ok("DELETE", address)
    assert desk.refused("GET", "new_stands")[0] == 404


def test_a_key_over_doubles_fails(desk: Desk) -> None:
    for _ in range(2):
        desk.ok("POST", "leads", {"lastname": "Ruiz"})
    response = desk.call("POST", f"{LEAD}/Keys", {"SchemaName": "new_NameKey", "KeyAttributes": ["lastname"]})
    key = (header(response, "OData-EntityId") or "").removeprefix(f"{API}/")
    assert key.startswith(f"{LEAD}/Keys(")
    assert desk.ok("GET", key)["SchemaName"] == "new_NameKey"
    statuses = {key["SchemaName"]: key["EntityKeyIndexStatus"] for key in desk.ok("GET", f"{LEAD}/Keys")["value"]}
    assert statuses == {"cap_BadgeKey": "Active", "new_NameKey": "Failed"}
    desk.ok("DELETE", key)
    assert len(desk.ok("GET", f"{LEAD}/Keys")["value"]) == 1


@pytest.mark.parametrize("body", [{}, {"SchemaName": "Lead"}])
def test_tables_need_a_new_name(desk: Desk, body: dict[str, Any]) -> None:
    assert desk.refused("POST", "EntityDefinitions", body)[0] == 400
