"""`python -m synthgen`."""

from synthgen.commands import main

if __name__ == "__main__":
    main()
