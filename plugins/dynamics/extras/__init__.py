"""What an action makes beside persons' records: accounts, campaign responses, list memberships, notes.

`core.extras` and `core.companies` decide, the modules here read and write; the engine knows
them by `sync.ports.Extras`.
"""
