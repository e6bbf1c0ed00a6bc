"""A sample of an application with a project file and a lock."""

RELEASE = "one"
