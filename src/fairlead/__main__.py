"""Where the `fairlead` program and `python -m fairlead` begin. `--version` is answered before anything is imported."""

import sys

from fairlead import __version__


def main() -> None:
    """Run the command line and exit with its status."""
    if sys.argv[1:] == ["--version"]:
        print(f"fairlead {__version__}")
        return
    from fairlead.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
