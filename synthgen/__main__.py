"""`python -m synthgen`."""

from synthgen.commands import main

main()
