"""One command a file, each with run(arguments) -> exit status; files.py and devices.py are shared."""
