"""Replays an account file: a list of {service, operation, input}, each a call of an AWS client.

usage: replay.py ACCOUNT_FILE... [--parameters] [--network]

The endpoint, the Region and the credentials come from the environment, as for any AWS client.

--parameters  makes the SSM parameters that the task definitions name as secrets. An account file
              holds only the services that evenkeel talks to; ministack starts no task whose
              secrets are not there.
--network     makes the subnets and security groups that the services name and uses the names that
              the server gives them: moto takes no service in a network that its EC2 does not know.

Prints, as JSON, which name became which.
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


def make_network(calls):
    """Makes, in one VPC, every subnet and security group that the calls name, and puts the names
    that the server gave them in their places."""
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    # moto's RunTask fails in a VPC without host names.
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    made = {}

    def subnet(_name):
        block = f"10.0.{len(made)}.0/24"
        return ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"]

    def security_group(name):
        return ec2.create_security_group(
            VpcId=vpc, GroupName=name.removeprefix("sg-"), Description="for the services"
        )["GroupId"]

    for call in calls:
        network = call["input"].get("networkConfiguration", {}).get("awsvpcConfiguration", {})
        for key, make in (("subnets", subnet), ("securityGroups", security_group)):
            for place, name in enumerate(network.get(key, [])):
                if name not in made:
                    made[name] = make(name)
                network[key][place] = made[name]
    return made


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
    parser.add_argument("--network", action="store_true")
    arguments = parser.parse_args()

    calls = read(arguments.files)
    if arguments.parameters:
        make_parameters(calls)
    renamed = make_network(calls) if arguments.network else {}
    replay(calls)
    print(json.dumps(renamed))


if __name__ == "__main__":
    main()
