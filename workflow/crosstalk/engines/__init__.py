"""Engines: spec -> record. No engine knows another."""
