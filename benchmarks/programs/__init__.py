"""Programs that are measured, each run as a process of its own; each imports only what its own kind needs."""
