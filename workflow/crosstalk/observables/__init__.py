"""Observables: which calculations a table row needs, and what it makes of their records. They never run an engine."""
