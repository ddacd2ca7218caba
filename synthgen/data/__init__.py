"""Real data on its way into training: tables, images, and what they share."""
