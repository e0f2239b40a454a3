"""Prints, as JSON, everything in an account that evenkeel could have changed.

usage: snapshot.py CLUSTER

- services: name -> definition, tags and deployments (not those that drain: they go by themselves)
- taskDefinitions: family:revision -> definition and tags, every revision, also the inactive ones
- tasks: what the tasks that no service started ran and how they ended
- rules: name -> rule, its tags and its targets
"""

import json
import sys

import boto3


def pages(client, operation, key, **arguments):
    """Everything that a listing holds, page by page."""
    listed = []
    for page in client.get_paginator(operation).paginate(**arguments):
        listed.extend(page[key])
    return listed


def short(arn):
    return arn.rsplit("/", 1)[-1]


def services(ecs, cluster):
    arns = pages(ecs, "list_services", "serviceArns", cluster=cluster)
    found = {}
    for start in range(0, len(arns), 10):
        answer = ecs.describe_services(
            cluster=cluster, services=arns[start : start + 10], include=["TAGS"]
        )
        for service in answer["services"]:
            found[service["serviceName"]] = {
                "taskDefinition": short(service["taskDefinition"]),
                "desiredCount": service["desiredCount"],
                "tags": service.get("tags", []),
                "deployments": [
                    {
                        "id": deployment["id"],
                        "status": deployment["status"],
                        "taskDefinition": short(deployment["taskDefinition"]),
                        "rolloutState": deployment.get("rolloutState"),
                        "createdAt": deployment["createdAt"].timestamp(),
                    }
                    for deployment in service["deployments"]
                    if deployment["status"] == "PRIMARY"
                    or deployment.get("rolloutState") == "FAILED"
                ],
            }
    return found


def task_definitions(ecs):
    found = {}
    for status in ("ACTIVE", "INACTIVE"):
        for arn in pages(ecs, "list_task_definitions", "taskDefinitionArns", status=status):
            answer = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
            found[short(arn)] = {**answer["taskDefinition"], "tags": answer.get("tags", [])}
    return found


def one_off_tasks(ecs, cluster):
    arns = []
    for status in ("RUNNING", "STOPPED"):
        arns.extend(pages(ecs, "list_tasks", "taskArns", cluster=cluster, desiredStatus=status))
    found = []
    for start in range(0, len(arns), 100):
        answer = ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + 100])
        for task in answer["tasks"]:
            if task.get("group", "").startswith("service:"):
                continue
            found.append(
                {
                    "taskDefinition": short(task["taskDefinitionArn"]),
                    "startedBy": task.get("startedBy"),
                    "lastStatus": task["lastStatus"],
                    "overrides": task["overrides"],
                    "stoppedAt": task["stoppedAt"].timestamp() if "stoppedAt" in task else None,
                    "stopCode": task.get("stopCode"),
                    "containers": {
                        container["name"]: {
                            "image": container["image"],
                            "exitCode": container.get("exitCode"),
                        }
                        for container in task["containers"]
                    },
                }
            )
    return found


def rules(events):
    found = {}
    for rule in pages(events, "list_rules", "Rules"):
        tags = events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]
        found[rule["Name"]] = {
            **rule,
            "Tags": {tag["Key"]: tag["Value"] for tag in tags},
            "Targets": events.list_targets_by_rule(Rule=rule["Name"])["Targets"],
        }
    return found


def main():
    (cluster,) = sys.argv[1:]
    ecs = boto3.client("ecs")
    account = {
        "services": services(ecs, cluster),
        "taskDefinitions": task_definitions(ecs),
        "tasks": one_off_tasks(ecs, cluster),
        "rules": rules(boto3.client("events")),
    }
    json.dump(account, sys.stdout, default=str)


if __name__ == "__main__":
    main()
