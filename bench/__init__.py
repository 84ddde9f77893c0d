"""What a request costs, measured by ourselves on this machine. `python -m bench --help`."""
