"""Writes the CSDL that `$metadata` answers: entity types, keys, properties, navigation properties, entity sets.

Source: Microsoft Learn, "Web API types and operations", "Web API service documents".
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

from sandbox.dataverse.schema import Schema, Table
from sandbox.dataverse.values import edm_type

_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
    '<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
    '<EntityType Name="crmbaseentity" Abstract="true" />'
)
_TAIL = "</Schema></edmx:DataServices></edmx:Edmx>"


def csdl(schema: Schema) -> str:
    """The whole document."""
    types = "".join(_type(schema, table) for _, table in sorted(schema.tables.items()))
    sets = "".join(_set(schema, table) for _, table in sorted(schema.by_set.items()))
    return f'{_HEAD}{types}<EntityContainer Name="System">{sets}</EntityContainer>{_TAIL}'


def _type(schema: Schema, table: Table) -> str:
    parts = [
        f'<EntityType Name={quoteattr(table.name)} BaseType="mscrm.crmbaseentity">',
        f"<Key><PropertyRef Name={quoteattr(table.primary_id)} /></Key>",
        *_properties(table),
        *_navigations(schema, table),
        *_keys(table),
        "</EntityType>",
    ]
    return "".join(parts)


def _properties(table: Table) -> Iterator[str]:
    for name, column in table.properties.items():
        head = f"<Property Name={quoteattr(name)} Type={quoteattr(edm_type(column))}"
        if column.is_lookup:
            yield f'{head}><Annotation Term="Org.OData.Core.V1.Computed" Bool="true" /></Property>'
        else:
            yield f'{head} Unicode="false" />' if edm_type(column) == "Edm.String" else f"{head} />"


def _navigations(schema: Schema, table: Table) -> Iterator[str]:
    for name, (column, targets) in table.navigations.items():
        target = schema.tables.get(targets[0])
        if target is not None:
            reference = "ownerid" if column.type == "Owner" else target.primary_id
            kind = "principal" if column.type == "Owner" else target.name
            yield (
                f'<NavigationProperty Name={quoteattr(name)} Type="mscrm.{kind}" Nullable="false">'
                f'<ReferentialConstraint Property="_{column.name}_value" ReferencedProperty="{reference}" />'
                "</NavigationProperty>"
            )
    for name, relationship in schema.collections[table.name].items():
        yield (
            f'<NavigationProperty Name={quoteattr(name)} Type="Collection(mscrm.{relationship.table})" '
            f"Partner={quoteattr(relationship.navigation)} />"
        )


def _keys(table: Table) -> Iterator[str]:
    if not table.active_keys:
        return
    yield '<Annotation Term="OData.Community.Keys.V1.AlternateKeys"><Collection>'
    for key in table.active_keys:
        names = "".join(
            '<Record Type="OData.Community.Keys.V1.PropertyRef">'
            f'<PropertyValue Property="Alias" String={quoteattr(name)} />'
            f'<PropertyValue Property="Name" PropertyPath={quoteattr(name)} /></Record>'
            for name in table.key_properties(key)
        )
        yield (
            '<Record Type="OData.Community.Keys.V1.AlternateKey"><PropertyValue Property="Key"><Collection>'
            f"{names}</Collection></PropertyValue></Record>"
        )
    yield "</Collection></Annotation>"


def _set(schema: Schema, table: Table) -> str:
    bindings = "".join(
        f'<NavigationPropertyBinding Path={quoteattr(name)} Target="{schema.tables[targets[0]].entity_set}" />'
        for name, (_, targets) in table.navigations.items()
        if targets[0] in schema.tables
    )
    tracking = (
        '<Annotation Term="Org.OData.Capabilities.V1.ChangeTracking"><Record>'
        f'<PropertyValue Property="Supported" Bool="{"true" if table.is_tracked else "false"}" /></Record></Annotation>'
    )
    return f'<EntitySet Name="{table.entity_set}" EntityType="mscrm.{table.name}">{bindings}{tracking}</EntitySet>'
