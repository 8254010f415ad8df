"""`python -m sorairo` is the `sorairo` command."""

from sorairo.cli.main import run

if __name__ == "__main__":
    run()
