"""What wraps Lightning's trainer: budgets, checkpoint files, run folders."""
