"""Specs from names of config entries, molecules and surfaces apart. `crosstalk.plan` puts them to use."""
