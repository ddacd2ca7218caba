"""Tables: sources, schema, codec, and the way into training."""
