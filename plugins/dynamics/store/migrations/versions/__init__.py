"""One module a release of the schema. A released one is never edited: a change is a new one."""
