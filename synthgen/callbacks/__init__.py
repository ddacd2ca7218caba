"""What looks at training while it runs."""
