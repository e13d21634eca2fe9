"""A folded run becomes a report: one view model, and a function to text for each format."""
