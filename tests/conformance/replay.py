"""Replays an account file: a list of {service, operation, input}, each a call of an AWS client.

usage: replay.py ACCOUNT_FILE... [--parameters] [--subnets]

The endpoint, the Region and the credentials come from the environment, as for any AWS client.

--parameters  makes the SSM parameters that the task definitions name as secrets. An account file
              holds only the services that evenkeel talks to; ministack starts no task whose
              secrets are not there.
--subnets     makes the subnets that the network configurations name, under the names that the
              server gives them. moto takes no service in a subnet that its EC2 does not know.
"""

import argparse
import json

import boto3
from botocore import xform_name


def read(paths):
    calls = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            calls.extend(json.load(file))
    return calls


def secret_names(calls):
    """The SSM parameters that the task definitions' containers want, by name."""
    names = set()
    for call in calls:
        if call["operation"] != "RegisterTaskDefinition":
            continue
        for container in call["input"]["containerDefinitions"]:
            for secret in container.get("secrets", []):
                value = secret["valueFrom"]
                if value.startswith("arn:"):
                    value = value.split(":parameter", 1)[1]
                names.add(value)
    return sorted(names)


def make_parameters(calls):
    ssm = boto3.client("ssm")
    for name in secret_names(calls):
        ssm.put_parameter(Name=name, Value="a secret", Type="SecureString", Overwrite=True)


def subnets_of(call):
    network = call["input"].get("networkConfiguration", {})
    return network.get("awsvpcConfiguration", {}).get("subnets", [])


def make_subnets(calls):
    """Makes a subnet for each that the calls name and puts its real name in."""
    made = {}
    ec2 = boto3.client("ec2")
    for call in calls:
        names = subnets_of(call)
        for place, name in enumerate(names):
            if name not in made:
                block = f"10.{len(made)}.0.0/16"
                vpc = ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
                subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=block)
                made[name] = subnet["Subnet"]["SubnetId"]
            names[place] = made[name]


def replay(calls):
    clients = {}
    for call in calls:
        service = call["service"]
        if service not in clients:
            clients[service] = boto3.client(service)
        operation = xform_name(call["operation"])
        getattr(clients[service], operation)(**call["input"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--parameters", action="store_true")
    parser.add_argument("--subnets", action="store_true")
    arguments = parser.parse_args()

    calls = read(arguments.files)
    if arguments.parameters:
        make_parameters(calls)
    if arguments.subnets:
        make_subnets(calls)
    replay(calls)
    print(f"replayed {len(calls)} calls")


if __name__ == "__main__":
    main()
