"""The command line: `python -m dynrefer COMMAND`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from dynrefer.cli.commands import parsed
from dynrefer.cli.output import ended_politely, prepare_streams
from dynrefer.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0: all was done. 3: some records were left out, which stderr names. 2: nothing could be done, for which stderr has
    one sentence. 130: stopped by hand, or asked to stop by SIGTERM.
    """
    prepare_streams()
    with ended_politely():
        return _run(arguments)
    return 0  # whoever read the answers has gone


def _run(arguments: Sequence[str] | None) -> int:
    given = vars(parsed(arguments))
    run, verbose = given.pop("run"), given.pop("verbose")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if verbose:
        logging.getLogger("dynrefer").setLevel(logging.INFO)
    try:
        code = run(**given)
        return code if isinstance(code, int) else 0
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.strerror is None:
            raise
        named = "" if error.filename is None else f"{error.filename}: "
        print(InputError(f"{named}{error.strerror}"), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
