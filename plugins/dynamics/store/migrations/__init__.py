"""Schema changes of the audit database, run by `dynamics-sync db upgrade` and by nothing else."""
