"""The audit database: runs, prospects, the queue, attempts, outcomes, links. The only room that opens sessions on it."""
