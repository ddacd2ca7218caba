"""Plain torch modules; they know no loss, no data and no Lightning."""
