"""`python -m functions.flights`: the model function of the flights model."""

import sys

from functions.runtime.main import main

sys.exit(main(package=__package__))
