"""Makes a Lambda function of hook_function.py.

usage: function.py NAME URL

The URL is whom the function tells.
"""

import io
import os
import sys
import zipfile

import boto3

SOURCE = "hook_function.py"


def archive():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.write(os.path.join(os.path.dirname(__file__), SOURCE), SOURCE)
    return packed.getvalue()


def main():
    name, url = sys.argv[1:]
    functions = boto3.client("lambda")
    functions.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role="arn:aws:iam::123456789012:role/hooks",
        Handler="hook_function.handler",
        Code={"ZipFile": archive()},
        Timeout=300,
        Environment={"Variables": {"TELLS": url}},
    )
    functions.get_waiter("function_active_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


if __name__ == "__main__":
    main()
