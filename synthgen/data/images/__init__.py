"""Images: sources, codec, and the way into training."""
