"""`python -m vlmbench`."""

from vlmbench.cli import main

if __name__ == "__main__":
    main()
