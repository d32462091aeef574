"""Converts units of measurement."""
