"""Prospects into Dynamics 365."""
