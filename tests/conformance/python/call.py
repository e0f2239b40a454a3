"""Makes one AWS call and prints its answer as JSON.

usage: call.py SERVICE OPERATION, with the call's input as JSON on the standard input
"""

import json
import sys

import boto3
from botocore import xform_name


def main():
    service, operation = sys.argv[1:]
    client = boto3.client(service)
    answer = getattr(client, xform_name(operation))(**json.load(sys.stdin))
    answer.pop("ResponseMetadata", None)
    json.dump(answer, sys.stdout, default=str)


if __name__ == "__main__":
    main()
