"""The HTML page of a report and of a comparison."""
