"""What people look at: one HTML file, one JSON file."""
