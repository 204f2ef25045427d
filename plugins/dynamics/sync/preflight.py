"""Finds every problem of a run before anything is claimed: the organisation, and the mapping against live metadata.

A run that starts is a run that can be finished; a run that cannot start says everything that is wrong, at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dynamics.core.crm import Organization
from dynamics.core.mapping import Mapping as MappingTable
from dynamics.core.mapping import check_mapping, fixed_lookups, looked_up_tables, lookup_faults
from dynamics.core.policy import Policy
from dynamics.errors import ConfigurationError, Fault
from dynamics.sync.ports import Crm, Ledger


def preflight(
    account: str,
    policy: Policy,
    mappings: Mapping[str, MappingTable],
    crm: Crm,
    ledger: Ledger,
    further: Callable[[], Iterable[Fault]] = tuple,
) -> Organization:
    """Check the account and the mapping against the live organisation; `further` gives faults of its own.

    Raises:
        ConfigurationError: with all faults found.
        AccountError, TransientError: the organisation could not be asked.
    """
    organization = crm.organization()
    faults = [*_binding_faults(account, organization, ledger), *_privilege_faults(account, policy, crm)]
    for table in policy.tables:
        mapping, metadata = mappings[table], crm.metadata(table)
        others = {other: crm.metadata(other) for other in looked_up_tables(mapping, metadata)}
        wrong = check_mapping(mapping, metadata, policy.create.value == table, others)
        faults += wrong or lookup_faults(mapping, crm.look_up(fixed_lookups(mapping)))
    faults += further()
    if faults:
        raise ConfigurationError(faults)
    return organization


def _privilege_faults(account: str, policy: Policy, crm: Crm) -> list[Fault]:
    remedy = "Add them to a security role of that user."
    return [
        Fault(f"connection {account}", None, f"application user {user} lacks {', '.join(missing)}.", remedy)
        for user, missing in crm.missing_privileges(policy.privileges).items()
    ]


def _binding_faults(account: str, organization: Organization, ledger: Ledger) -> list[Fault]:
    bound = ledger.bind_account(account, organization.organization_id, organization.url)
    if bound == organization.organization_id:
        return []
    what = f"is bound to organisation {bound}, but its address now leads to {organization.organization_id}."
    remedy = "Correct the address, or use a new connection id for the other organisation."
    return [Fault(f"connection {account}", None, what, remedy)]
