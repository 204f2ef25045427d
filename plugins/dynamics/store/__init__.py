"""The audit database: runs, prospects, the queue, attempts, outcomes, links. Only this room opens sessions on it."""
