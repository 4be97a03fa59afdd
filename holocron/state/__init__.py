"""The virtual node's own durable state: a journal of what it acknowledged, and checkpoints that shorten it."""
