"""The command line: `python -m dynrefer COMMAND`."""
