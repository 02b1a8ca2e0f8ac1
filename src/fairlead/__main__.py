"""Where the `fairlead` program and `python -m fairlead` begin. `--version` is answered before anything is imported."""

import sys

from fairlead import __version__


def main() -> None:
    """Run the command line and exit with its status."""
    if sys.argv[1:] == ["--version"]:
        print(f"fairlead {__version__}")
        return
    try:
        import signal
    except KeyboardInterrupt:
        sys.exit(130)

    # Until the command line is there to answer it, Ctrl-C simply ends us: a traceback of imports would tell nobody
    # anything. One that is ignored (`nohup`, a job of a script) stays ignored.
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from fairlead.cli.main import run

    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, handler)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
