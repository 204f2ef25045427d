"""The engine and the ports it stands on."""
