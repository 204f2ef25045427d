"""The Dataverse Web API client."""
