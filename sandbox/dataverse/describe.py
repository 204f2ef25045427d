"""Describes tables, columns, keys, relationships and choices as metadata JSON.

Source: Microsoft Learn, "Query table definitions using the Web API", "Metadata EntityType Reference".
"""

from __future__ import annotations

from typing import Any

from sandbox.dataverse.schema import Column, Key, Option, Relationship, Schema, Table

Json = dict[str, Any]
LANGUAGE = 1033
_GLOBAL_CHOICES = frozenset({"budgetstatus", "initialcommunication", "need", "purchaseprocess", "purchasetimeframe"})
"""Choices of lead that several tables share."""


def label(text: str | None) -> Json:
    """A label with one language, or an empty one."""
    if text is None:
        return {"LocalizedLabels": [], "UserLocalizedLabel": None}
    one = {"Label": text, "LanguageCode": LANGUAGE, "IsManaged": True, "HasChanged": None}
    return {"LocalizedLabels": [one], "UserLocalizedLabel": one}


def describe_table(table: Table) -> Json:
    """EntityMetadata without its collections."""
    return {
        "MetadataId": table.metadata_id,
        "LogicalName": table.name,
        "SchemaName": table.schema_name,
        "EntitySetName": table.entity_set,
        "LogicalCollectionName": table.entity_set,
        "CollectionSchemaName": table.entity_set,
        "ObjectTypeCode": table.object_type_code,
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name,
        "OwnershipType": "UserOwned" if table.is_owned else "OrganizationOwned",
        "ChangeTrackingEnabled": table.is_tracked,
        "IsOptimisticConcurrencyEnabled": True,
        "IsDuplicateDetectionEnabled": {
            "Value": table.has_bulk,
            "CanBeChanged": True,
            "ManagedPropertyLogicalName": "canmodifyduplicatedetectionsettings",
        },
        "EnforceStateTransitions": False,
        "IsActivity": table.name == "campaignresponse",
        "IsCustomEntity": table.object_type_code >= 10_000,
        "IsPrivate": False,
        "IsIntersect": False,
        "IsLogicalEntity": False,
        "TableType": "Standard",
        "DisplayName": label(table.label or table.schema_name),
        "DisplayCollectionName": label(f"{table.label or table.schema_name}s"),
        "Description": label(None),
    }


def metadata_kind(column: Column) -> str:
    """The name of the column's metadata type: StringAttributeMetadata and its like."""
    kind = {"Customer": "Lookup", "Owner": "Lookup", "PartyList": "Lookup"}.get(column.type, column.type)
    return f"{'' if kind == 'Virtual' else kind}AttributeMetadata"


def describe_column(table: Table, column: Column) -> Json:
    """What every kind of column has, then what its own kind adds."""
    common: Json = {
        "@odata.type": f"#Microsoft.Dynamics.CRM.{metadata_kind(column)}",
        "MetadataId": column.metadata_id,
        "LogicalName": column.name,
        "SchemaName": column.schema_name,
        "EntityLogicalName": table.name,
        "AttributeType": column.type if column.type != "Image" else "Virtual",
        "AttributeTypeName": {"Value": f"{column.type}Type"},
        "AttributeOf": column.companion_of,
        "RequiredLevel": {
            "Value": column.required,
            "CanBeChanged": column.required != "SystemRequired",
            "ManagedPropertyLogicalName": "canmodifyrequirementlevelsettings",
        },
        "IsValidForCreate": column.can_create,
        "IsValidForUpdate": column.can_update,
        "IsValidForRead": True,
        "IsValidODataAttribute": column.property_name is not None,
        "IsPrimaryId": column.name == table.primary_id,
        "IsPrimaryName": column.name == table.primary_name,
        "IsCustomAttribute": column.is_custom,
        "IsLogical": column.companion_of is not None,
        "IsManaged": not column.is_custom,
        "IsSecured": False,
        "DisplayName": label(column.label or column.schema_name),
        "Description": label(None),
    }
    return common | _details(column)


def _details(column: Column) -> Json:
    kind = metadata_kind(column).removesuffix("AttributeMetadata")
    if kind in ("String", "Memo"):
        style = column.format or "Text"
        return {"MaxLength": column.max_length, "Format": style, "FormatName": {"Value": style}, "ImeMode": "Auto"}
    if kind == "Integer":
        low, high = column.minimum, column.maximum
        return {
            "MinValue": -(2**31) if low is None else int(low),
            "MaxValue": 2**31 - 1 if high is None else int(high),
        }
    if kind in ("Decimal", "Double", "Money"):
        low, high = column.minimum, column.maximum
        return {
            "MinValue": -1e11 if low is None else low,
            "MaxValue": 1e11 if high is None else high,
            "Precision": column.precision or 2,
        }
    if kind == "DateTime":
        return {
            "Format": column.format or "DateAndTime",
            "DateTimeBehavior": {"Value": column.behavior or "UserLocal"},
            "ImeMode": "Inactive",
        }
    if kind == "Lookup":
        return {"Targets": list(column.navigation), "Format": "None"}
    if kind == "Boolean":
        return {"DefaultValue": bool(column.default)}
    if kind in ("Picklist", "State", "Status"):
        return {"DefaultFormValue": -1 if column.default is None else column.default}
    return {}


def _option(column: Column, option: Option) -> Json:
    described: Json = {
        "Value": option.value,
        "Label": label(option.label),
        "Description": label(None),
        "Color": None,
        "IsManaged": not column.is_custom,
    }
    if column.type == "State":
        described |= {"DefaultStatus": option.linked, "InvariantName": option.label.replace(" ", "")}
    elif column.type == "Status":
        described |= {"State": option.linked}
    return described


def is_global(column: Column) -> bool:
    """Whether the column's choice is shared by several tables."""
    return column.table == "lead" and column.name in _GLOBAL_CHOICES


def describe_option_set(column: Column) -> Json | None:
    """The options of a choice or of a two-option column; None for every other kind."""
    if not column.options and column.type not in ("Picklist", "State", "Status", "Boolean"):
        return None
    name = column.name if is_global(column) else f"{column.table}_{column.name}"
    described: Json = {
        "MetadataId": column.metadata_id,
        "Name": name,
        "IsGlobal": is_global(column),
        "IsCustomOptionSet": column.is_custom,
        "OptionSetType": column.type,
        "DisplayName": label(column.label or column.schema_name),
    }
    options = [_option(column, option) for option in column.options]
    if column.type == "Boolean":
        by_value = {option["Value"]: option for option in options}
        return described | {"TrueOption": by_value.get(1), "FalseOption": by_value.get(0)}
    return described | {"Options": options}


def describe_key(table: Table, key: Key) -> Json:
    """EntityKeyMetadata."""
    return {
        "MetadataId": table.key_id(key),
        "SchemaName": key.name,
        "LogicalName": key.logical_name,
        "EntityLogicalName": table.name,
        "KeyAttributes": list(key.columns),
        "EntityKeyIndexStatus": key.status,
        "IsManaged": False,
        "DisplayName": label(key.name),
    }


def describe_relationship(relationship: Relationship, schema: Schema) -> Json:
    """OneToManyRelationshipMetadata; the referenced table may be one the sandbox does not hold."""
    target = schema.tables.get(relationship.target)
    owner = schema.tables[relationship.table].columns[relationship.column].type == "Owner"
    return {
        "@odata.type": "#Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata",
        "MetadataId": relationship.metadata_id,
        "SchemaName": relationship.schema_name,
        "RelationshipType": "OneToManyRelationship",
        "IsCustomRelationship": "_" in relationship.column,
        "ReferencedEntity": "owner" if owner else relationship.target,
        "ReferencedAttribute": target.primary_id if target and not owner else f"{relationship.target}id",
        "ReferencingEntity": relationship.table,
        "ReferencingAttribute": relationship.column,
        "ReferencingEntityNavigationPropertyName": relationship.navigation,
        "ReferencedEntityNavigationPropertyName": relationship.schema_name,
    }
