"""Say in one line, on any Python, that this project needs a newer one."""

import sys

if sys.version_info < (3, 11):
    sys.exit("rrtf-trl needs Python 3.11 or newer; this is %d.%d. Try: make PYTHON=python3.12" % sys.version_info[:2])
