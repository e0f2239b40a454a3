"""Waits until the services of a cluster run what they should.

usage: steady.py CLUSTER
"""

import sys

import boto3


def main():
    (cluster,) = sys.argv[1:]
    ecs = boto3.client("ecs")
    services = ecs.list_services(cluster=cluster)["serviceArns"]
    waiter = ecs.get_waiter("services_stable")
    waiter.wait(
        cluster=cluster,
        services=services,
        WaiterConfig={"Delay": 1, "MaxAttempts": 60},
    )


if __name__ == "__main__":
    main()
