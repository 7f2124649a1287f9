"""`python -m streamd`."""

from streamd.cli import main

main()
