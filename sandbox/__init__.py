"""A stand-in for Dynamics 365, Entra ID and Captello."""
