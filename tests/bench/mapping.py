"""What mapping costs: sample prospects through the default lead table, chunk by chunk, on one core.

Prints CPU seconds for each 10,000 prospects; the aim is at most one. The table's columns are the sandbox's, and every
lookup is answered from memory: what asking costs is the race's business.
Run: python -m tests.bench.mapping [prospects]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
from pydantic import SecretStr

from dynamics.clock import SystemClock
from dynamics.config.mapping_sets import load_mapping_set
from dynamics.core.lookup import LookupKey, lookup_value
from dynamics.core.mapping import apply_mapping, update_values, wanted_lookups
from dynamics.core.metadata import TableMetadata
from dynamics.core.prospect import prospect_frame
from dynamics.dataverse.account import DataverseAccount
from dynamics.dataverse.client import DataverseClient
from dynamics.dataverse.local_budget import LocalBudget
from dynamics.process import spare_the_collector
from dynamics.sync.engine import CHUNK_SIZE
from sandbox import process
from sandbox.sample.generator import generate

PROSPECTS = 100_000
KINDS = 20_000  # different prospects, which come again and again
PER = 10_000
INCLUDE = Path(__file__).parents[2] / "include"


def main(count: int = PROSPECTS) -> None:
    mapping = load_mapping_set(INCLUDE, "default").tables["lead"]
    metadata = _lead()
    payloads = generate(prospects=min(count, KINDS)).prospects
    spare_the_collector()  # as a worker does
    spent_s, rejects = 0.0, 0
    for start in range(0, count, CHUNK_SIZE):
        frame = _frame(payloads, start)
        started = time.process_time()
        answers = _found(wanted_lookups(mapping, frame)) if mapping.lookups else {}
        mapped = apply_mapping(mapping, frame, metadata, answers)
        rejects += len(mapped.rejects)
        for label in frame.index:
            update_values(mapped, label)
        spent_s += time.process_time() - started
    print(f"{count:,} prospects, {rejects:,} rejected: {spent_s / count * PER:.2f} s of CPU for each {PER:,}")


def _found(keys: Collection[LookupKey]) -> dict[LookupKey, str]:
    return {key: lookup_value(key.table, UUID(int=number)) for number, key in enumerate(keys)}


def _frame(payloads: list[dict[str, Any]], start: int) -> pd.DataFrame:
    """A chunk as it is claimed."""
    first = start % len(payloads)
    some = list(islice(payloads, first, first + CHUNK_SIZE))
    return prospect_frame(pd.DataFrame({"payload": pd.Series(some, dtype=object)}))


def _lead() -> TableMetadata:
    with process.start() as sandbox:
        ready = sandbox.ready
        account = DataverseAccount(
            environment_url=ready["organizations"][0]["url"],
            tenant_id=ready["tenant_id"],
            client_id=ready["client_id"],
            client_secret=SecretStr(ready["client_secret"]),
            authority=ready["authority"],
            sandbox=True,
            ca_bundle=ready["ca_bundle"],
        )
        with DataverseClient(account, budget=LocalBudget(), clock=SystemClock()) as client:
            return client.metadata("lead")


if __name__ == "__main__":
    main(*(int(count) for count in sys.argv[1:]))
