"""The fulfillment worker: what webhooks bring is synced at once, by every action that answers it."""
