"""The source side: Captello's API and prospect files."""
