"""A folded run becomes a report: one view model, and a function to text for each format."""

FORMATS = ("json", "junit", "ctrf", "markdown", "html", "slack")
"""Each is a module of this folder, whose `render` makes a report of a summary. The schema has the same list."""
