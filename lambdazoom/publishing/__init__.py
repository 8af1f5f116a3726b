"""The work: making what is published match what the source holds."""
