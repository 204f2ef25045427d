"""The extras of a sync action: what it sets and makes beside the mapped columns, as frozen types.

Short forms stand for the usual case: `owner: owner.email`, `account: find_or_create`, `campaign: FLOW25`,
`marketing_list: Visitors`. What extras mean is decided in `core.extras` and `core.companies`. Source: design part 5.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator

from dynamics.core.companies import CompanyKey
from dynamics.core.extras import ExtrasWish, OwnerRule
from dynamics.core.mapping import WriteMode
from dynamics.core.mapping.transforms import ValueTables, build_step
from dynamics.core.prospect import path_fault

Text = Annotated[str, Field(min_length=1, max_length=250)]
FIND_OR_CREATE = "find_or_create"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class OwnerExtra(_Settings):
    """Who owns the record: the user with the e-mail address at `source`, else `fallback`.

    `users` names a value table (values/<users>.csv) that turns what stands at the source into such an address.
    """

    source: Text
    users: Text | None = None
    fallback: Text | None = None
    write: Literal["create_only", "always"] = "create_only"

    @field_validator("source")
    @classmethod
    def _is_path(cls, path: str) -> str:
        fault = path_fault(path)
        if fault is not None:
            raise ValueError(f"should be a path: {fault.removesuffix('.')}")
        return path

    def rule(self, value_tables: ValueTables) -> OwnerRule:
        """What `core.extras` works with. A value table that does not exist is left out: see `missing_table`."""
        step = build_step("map", self.users, value_tables) if self.users in value_tables else None
        return OwnerRule(self.source, (step,) if step else (), self.fallback, WriteMode(self.write))

    def missing_table(self, value_tables: ValueTables) -> str | None:
        """The value table that is named and does not exist."""
        return self.users if self.users is not None and self.users not in value_tables else None


class AccountExtra(_Settings):
    """The person's company, found among the accounts by this, else created with the Account mapping."""

    by: CompanyKey = CompanyKey.NAME


class CampaignExtra(_Settings):
    """A campaign, by its code: the source campaign of a new lead, or of which each prospect is a response."""

    code: Text
    kind: Literal["source", "response"] = Field("source", alias="as")


class Extras(_Settings):
    """All extras of one action; none by default. `marketing_list` is a static list, by its name."""

    owner: OwnerExtra | None = None
    account: AccountExtra | None = None
    campaign: CampaignExtra | None = None
    marketing_list: Text | None = None
    note: StrictBool = False

    @field_validator("owner", mode="before")
    @classmethod
    def _owner_source(cls, written: Any) -> Any:
        return {"source": written} if isinstance(written, str) else written

    @field_validator("account", mode="before")
    @classmethod
    def _account_word(cls, written: Any) -> Any:
        if isinstance(written, str):
            if written != FIND_OR_CREATE:
                raise ValueError(f"should be {FIND_OR_CREATE}, or {{by: {' | '.join(CompanyKey)}}}")
            return {}
        return written

    @field_validator("campaign", mode="before")
    @classmethod
    def _campaign_code(cls, written: Any) -> Any:
        return {"code": written} if isinstance(written, str) else written

    def wish(self, value_tables: ValueTables) -> ExtrasWish:
        """What `core.extras` works with.

        Args:
            value_tables: of the action's mapping set.
        """
        campaign = self.campaign
        return ExtrasWish(
            owner=self.owner.rule(value_tables) if self.owner else None,
            by=self.account.by if self.account else None,
            source_campaign=campaign.code if campaign and campaign.kind == "source" else None,
            response_campaign=campaign.code if campaign and campaign.kind == "response" else None,
            marketing_list=self.marketing_list,
            note=self.note,
        )
