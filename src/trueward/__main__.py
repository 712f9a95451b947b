"""`python -m trueward`."""

from trueward.cli import main

if __name__ == "__main__":
    main()
