"""The Lambda function of the hooks under test: tells somebody what it was told, and ends as that one
answers. It raises for anything but a success, and waits for as long as it is kept waiting."""

import json
import os
import urllib.error
import urllib.request


def handler(event, _context):
    told = json.dumps(event).encode()
    try:
        with urllib.request.urlopen(os.environ["TELLS"], data=told) as answer:
            return {"status": answer.status}
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"the cart is not empty ({error.code})") from None
