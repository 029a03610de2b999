"""Ends with 0 if the page at an address is served: ``python .ci/first_page.py http://127.0.0.1:7860``."""

import sys
import urllib.error
import urllib.request

try:
    with urllib.request.urlopen(sys.argv[1], timeout=30) as page:
        sys.exit(page.status != 200)
except urllib.error.URLError:
    sys.exit(1)
