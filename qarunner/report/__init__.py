"""A folded run becomes a report: one view model, and a function to text for each format."""

FORMATS = {
    "json": "everything, for other programs",
    "junit": "what CI systems read",
    "ctrf": "the Common Test Report Format",
    "markdown": "for people, failures first",
    "html": "one page without any request to elsewhere",
    "slack": "a message in Block Kit JSON with what is new",
}
"""By name, what it is for. Each is a module of this folder whose `render` makes a report of a summary."""
