"""`python -m trueward`."""

from trueward.cli.app import main

if __name__ == "__main__":
    main()
