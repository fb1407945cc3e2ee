"""What each command asks for: SUMMARY, EPILOG and add_arguments() of one command a file. Imports no torch."""
