"""boto3 and the AWS CLI against evenkeel's sandbox, with the Rails account loaded.

Run with `python -m unittest sandbox_client`; the endpoint comes from the environment. Every
operation that the sandbox offers is called, and every answer held against the service's model. What
the sandbox does over time is tested elsewhere; here it must speak as AWS does.
"""

import json
import os
import subprocess
import sys
import unittest
import urllib.request

from botocore.exceptions import ClientError

from model_check import watched

ACCOUNT = "123456789012"
REGION = "ap-northeast-1"
CLUSTER = "rails-production"
SUBNET = "subnet-0a1b2c3d4e5f60718"
MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"

# Every operation of the sandbox's own services: called at least once, or the test fails.
OFFERED = {
    "ecs": """
        CreateCluster DescribeClusters ListClusters DeleteCluster PutClusterCapacityProviders
        RegisterTaskDefinition DescribeTaskDefinition ListTaskDefinitions
        ListTaskDefinitionFamilies DeregisterTaskDefinition
        CreateService UpdateService DeleteService DescribeServices ListServices
        RunTask StopTask DescribeTasks ListTasks
        ListServiceDeployments DescribeServiceDeployments DescribeServiceRevisions
        StopServiceDeployment TagResource UntagResource ListTagsForResource
    """,
    "ecr": """
        CreateRepository DescribeRepositories DeleteRepository PutImageTagMutability PutImage
        DescribeImages ListImages BatchGetImage BatchDeleteImage GetAuthorizationToken
    """,
    "events": """
        PutRule DescribeRule ListRules EnableRule DisableRule DeleteRule PutTargets RemoveTargets
        ListTargetsByRule ListRuleNamesByTarget TagResource UntagResource ListTagsForResource
        PutEvents
    """,
    "sqs": """
        CreateQueue GetQueueUrl ListQueues DeleteQueue GetQueueAttributes SetQueueAttributes
        PurgeQueue SendMessage SendMessageBatch ReceiveMessage DeleteMessage DeleteMessageBatch
        ChangeMessageVisibility
    """,
    "cloudwatch": """
        PutMetricAlarm PutCompositeAlarm SetAlarmState DescribeAlarms DeleteAlarms
    """,
    "sts": "GetCallerIdentity",
    "dynamodb": """
        CreateTable DescribeTable UpdateTimeToLive DescribeTimeToLive PutItem GetItem UpdateItem
        DeleteItem Query Scan BatchGetItem BatchWriteItem TransactWriteItems TransactGetItems
        DeleteTable ListTables
    """,
}


class SandboxTest(unittest.TestCase):
    """Clients whose answers are checked, and what they called."""

    called = set()

    @classmethod
    def setUpClass(cls):
        for service in OFFERED:
            setattr(cls, service, watched(service, SandboxTest.called))
        # What a test stops must not have ended by itself before, however late the test is.
        rules = [{"when": {"family": "one-off"}, "then": {"healthy": {}}}]
        request = urllib.request.Request(
            os.environ["AWS_ENDPOINT_URL"] + "/_sandbox/rules",
            data=json.dumps(rules).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=60).close()

    def refused(self, code, call, **arguments):
        """The call must be refused with this code; answers the message."""
        with self.assertRaises(ClientError) as raised:
            call(**arguments)
        error = raised.exception.response
        self.assertEqual(error["Error"]["Code"], code)
        self.assertEqual(error["ResponseMetadata"]["HTTPStatusCode"], 400)
        return error["Error"]["Message"]

    def register(self, family, image="registry/shop:1"):
        """A small task definition's ARN."""
        answer = self.ecs.register_task_definition(
            family=family,
            cpu="0.25 vCPU",
            memory="1GB",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            containerDefinitions=[
                {"name": "main", "image": image, "portMappings": [{"containerPort": 80}]}
            ],
            tags=[{"key": "team", "value": "shop"}],
        )
        return answer["taskDefinition"]["taskDefinitionArn"]

    def service(self, name, **more):
        """A new service of one task, settled."""
        self.ecs.create_service(
            cluster=CLUSTER,
            serviceName=name,
            taskDefinition=self.register(name),
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [SUBNET]}},
            **more,
        )
        self.settle(name)

    def settle(self, name):
        self.ecs.get_waiter("services_stable").wait(
            cluster=CLUSTER, services=[name], WaiterConfig={"Delay": 1, "MaxAttempts": 90}
        )


class EcsTest(SandboxTest):
    def test_clusters(self):
        self.ecs.create_cluster(clusterName="another", tags=[{"key": "a", "value": "b"}])
        self.ecs.put_cluster_capacity_providers(
            cluster="another",
            capacityProviders=["FARGATE", "FARGATE_SPOT"],
            defaultCapacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
        )
        pages = self.ecs.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 1})
        arns = [arn for page in pages for arn in page["clusterArns"]]
        self.assertIn(f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{CLUSTER}", arns)
        self.assertIn(f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/another", arns)
        answer = self.ecs.describe_clusters(clusters=["another", "nowhere"])
        self.assertEqual([c["clusterName"] for c in answer["clusters"]], ["another"])
        self.assertEqual([f["reason"] for f in answer["failures"]], ["MISSING"])
        self.ecs.delete_cluster(cluster="another")

    def test_task_definitions(self):
        arns = [self.register("numbered") for _ in range(3)]
        definition = self.ecs.describe_task_definition(taskDefinition="numbered", include=["TAGS"])
        self.assertEqual(definition["taskDefinition"]["taskDefinitionArn"], arns[-1])
        self.assertEqual(definition["tags"], [{"key": "team", "value": "shop"}])
        container = definition["taskDefinition"]["containerDefinitions"][0]
        self.assertEqual((container["cpu"], container["essential"]), (0, True))
        self.assertEqual(
            container["portMappings"], [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}]
        )
        sizes = definition["taskDefinition"]
        self.assertEqual((sizes["cpu"], sizes["memory"]), ("256", "1024"))

        pages = self.ecs.get_paginator("list_task_definitions").paginate(
            familyPrefix="numbered", sort="DESC", PaginationConfig={"PageSize": 2}
        )
        self.assertEqual([a for page in pages for a in page["taskDefinitionArns"]], arns[::-1])
        pages = self.ecs.get_paginator("list_task_definition_families").paginate(
            familyPrefix="rails-", PaginationConfig={"PageSize": 1}
        )
        families = [family for page in pages for family in page["families"]]
        self.assertEqual(sorted(families), ["rails-app", "rails-oneoff", "rails-shoryuken"])

        gone = self.ecs.deregister_task_definition(taskDefinition=arns[0])["taskDefinition"]
        self.assertEqual(gone["status"], "INACTIVE")
        self.refused("ClientException", self.ecs.describe_task_definition, taskDefinition="none")
        self.refused(
            "ClientException",
            self.ecs.register_task_definition,
            family="empty",
            containerDefinitions=[],
        )

    def test_a_service_from_creation_to_deletion(self):
        self.service("walked", tags=[{"key": "team", "value": "shop"}])
        new = self.register("walked", image="registry/shop:2")
        self.ecs.update_service(cluster=CLUSTER, service="walked", taskDefinition=new)
        during = self.ecs.describe_services(cluster=CLUSTER, services=["walked"])["services"][0]
        self.assertEqual(during["taskDefinition"], new)
        self.settle("walked")
        after = self.ecs.describe_services(
            cluster=CLUSTER, services=["walked", "nowhere"], include=["TAGS"]
        )
        service = after["services"][0]
        self.assertEqual([d["rolloutState"] for d in service["deployments"]], ["COMPLETED"])
        self.assertEqual(service["tags"], [{"key": "team", "value": "shop"}])
        self.assertTrue(service["events"])
        self.assertEqual([f["reason"] for f in after["failures"]], ["MISSING"])

        pages = self.ecs.get_paginator("list_services").paginate(
            cluster=CLUSTER, PaginationConfig={"PageSize": 1}
        )
        names = [arn.rsplit("/", 1)[-1] for page in pages for arn in page["serviceArns"]]
        self.assertEqual(len(names), len(set(names)))
        self.assertTrue({"app", "shoryuken", "walked"} <= set(names))

        self.ecs.delete_service(cluster=CLUSTER, service="walked", force=True)
        self.refused(
            "ServiceNotFoundException",
            self.ecs.update_service,
            cluster=CLUSTER,
            service="nowhere",
            desiredCount=1,
        )
        self.refused(
            "ClusterNotFoundException",
            self.ecs.describe_services,
            cluster="nowhere",
            services=["app"],
        )

    def test_service_deployments_and_revisions(self):
        self.service("recorded")
        new = self.register("recorded", image="registry/shop:2")
        self.ecs.update_service(cluster=CLUSTER, service="recorded", taskDefinition=new)
        self.settle("recorded")

        brief, token = [], {}
        while True:
            page = self.ecs.list_service_deployments(
                service="recorded", cluster=CLUSTER, maxResults=1, **token
            )
            brief.extend(page["serviceDeployments"])
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        self.assertEqual([record["status"] for record in brief], ["SUCCESSFUL", "SUCCESSFUL"])

        arns = [record["serviceDeploymentArn"] for record in brief]
        whole = self.ecs.describe_service_deployments(serviceDeploymentArns=arns)
        target = whole["serviceDeployments"][0]["targetServiceRevision"]["arn"]
        revisions = self.ecs.describe_service_revisions(serviceRevisionArns=[target])
        revision = revisions["serviceRevisions"][0]
        self.assertEqual(revision["taskDefinition"], new)
        self.assertEqual([image["containerName"] for image in revision["containerImages"]], ["main"])

        other = self.register("recorded", image="registry/shop:3")
        self.ecs.update_service(cluster=CLUSTER, service="recorded", taskDefinition=other)
        under_way = self.ecs.list_service_deployments(
            service="recorded", cluster=CLUSTER, status=["PENDING", "IN_PROGRESS"]
        )["serviceDeployments"]
        self.ecs.stop_service_deployment(
            serviceDeploymentArn=under_way[0]["serviceDeploymentArn"], stopType="ROLLBACK"
        )
        self.settle("recorded")
        service = self.ecs.describe_services(cluster=CLUSTER, services=["recorded"])["services"][0]
        self.assertEqual(service["taskDefinition"], new)

    def test_tasks(self):
        task = {
            "cluster": CLUSTER,
            "taskDefinition": self.register("one-off"),
            "launchType": "FARGATE",
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": [SUBNET]}},
            "startedBy": "boto3",
            "overrides": {"containerOverrides": [{"name": "main", "command": ["exit", "3"]}]},
        }
        first = self.ecs.run_task(clientToken="a-token", **task)
        again = self.ecs.run_task(clientToken="a-token", **task)
        self.assertEqual(first["failures"], [])
        arn = first["tasks"][0]["taskArn"]
        self.assertEqual(again["tasks"][0]["taskArn"], arn, "the token names the same task")
        other = {**task, "overrides": {}}
        self.refused("ConflictException", self.ecs.run_task, clientToken="a-token", **other)

        second = self.ecs.run_task(**other)["tasks"][0]["taskArn"]
        listed = []
        for status in ("RUNNING", "STOPPED"):
            pages = self.ecs.get_paginator("list_tasks").paginate(
                cluster=CLUSTER,
                startedBy="boto3",
                desiredStatus=status,
                PaginationConfig={"PageSize": 1},
            )
            listed.extend(arn for page in pages for arn in page["taskArns"])
        self.assertEqual(sorted(listed), sorted([arn, second]))

        self.ecs.stop_task(cluster=CLUSTER, task=second, reason="enough")
        self.ecs.get_waiter("tasks_stopped").wait(
            cluster=CLUSTER, tasks=[second], WaiterConfig={"Delay": 1, "MaxAttempts": 90}
        )
        answer = self.ecs.describe_tasks(cluster=CLUSTER, tasks=[second, "f" * 32], include=["TAGS"])
        stopped = answer["tasks"][0]
        self.assertEqual((stopped["stopCode"], stopped["stoppedReason"]), ("UserInitiated", "enough"))
        self.assertEqual([f["reason"] for f in answer["failures"]], ["MISSING"])
        self.refused(
            "ClientException", self.ecs.run_task, **{**task, "taskDefinition": "nothing:1"}
        )

    def test_tags(self):
        arn = self.register("tagged")
        self.ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "1"}])
        self.ecs.untag_resource(resourceArn=arn, tagKeys=["team"])
        tags = self.ecs.list_tags_for_resource(resourceArn=arn)["tags"]
        self.assertEqual(tags, [{"key": "a", "value": "1"}])

    def test_an_operation_that_it_lacks(self):
        # The model knows the operation, so boto3 sends it; the sandbox says that it has none.
        self.refused("UnknownOperationException", self.ecs.list_account_settings)


class EcrTest(SandboxTest):
    def manifest(self, number):
        return json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MEDIA_TYPE,
                "config": {
                    "mediaType": "application/vnd.docker.container.image.v1+json",
                    "size": 1469,
                    "digest": f"sha256:{number:064x}",
                },
                "layers": [],
            }
        )

    def push(self, repository, tag, number):
        answer = self.ecr.put_image(
            repositoryName=repository,
            imageTag=tag,
            imageManifest=self.manifest(number),
            imageManifestMediaType=MEDIA_TYPE,
        )
        return answer["image"]["imageId"]["imageDigest"]

    def test_repositories(self):
        self.ecr.create_repository(repositoryName="made/here", imageTagMutability="MUTABLE")
        self.refused(
            "RepositoryAlreadyExistsException",
            self.ecr.create_repository,
            repositoryName="made/here",
        )
        self.ecr.put_image_tag_mutability(
            repositoryName="made/here", imageTagMutability="IMMUTABLE"
        )
        pages = self.ecr.get_paginator("describe_repositories").paginate(
            PaginationConfig={"PageSize": 1}
        )
        repositories = {r["repositoryName"]: r for page in pages for r in page["repositories"]}
        self.assertIn("rails/app", repositories)
        self.assertEqual(repositories["made/here"]["imageTagMutability"], "IMMUTABLE")
        self.push("made/here", "v1", 1)
        self.refused("RepositoryNotEmptyException", self.ecr.delete_repository, repositoryName="made/here")
        self.ecr.delete_repository(repositoryName="made/here", force=True)
        self.refused(
            "RepositoryNotFoundException",
            self.ecr.describe_images,
            repositoryName="made/here",
        )

    def test_images(self):
        self.ecr.create_repository(repositoryName="pushed")
        one, two = self.push("pushed", "v1", 1), self.push("pushed", "v2", 2)
        self.assertEqual(self.push("pushed", "latest", 2), two, "the same manifest, the same digest")
        details = self.ecr.describe_images(
            repositoryName="pushed", imageIds=[{"imageTag": "latest"}]
        )["imageDetails"]
        self.assertEqual(details[0]["imageDigest"], two)
        self.assertEqual(sorted(details[0]["imageTags"]), ["latest", "v2"])
        self.refused(
            "ImageNotFoundException",
            self.ecr.describe_images,
            repositoryName="pushed",
            imageIds=[{"imageTag": "not-there"}],
        )
        for operation, key in (("describe_images", "imageDetails"), ("list_images", "imageIds")):
            pages = self.ecr.get_paginator(operation).paginate(
                repositoryName="pushed", PaginationConfig={"PageSize": 1}
            )
            digests = {image["imageDigest"] for page in pages for image in page[key]}
            self.assertEqual(digests, {one, two})

        batch = self.ecr.batch_get_image(
            repositoryName="pushed", imageIds=[{"imageTag": "v1"}, {"imageTag": "not-there"}]
        )
        self.assertEqual([image["imageManifest"] for image in batch["images"]], [self.manifest(1)])
        self.assertEqual([f["failureCode"] for f in batch["failures"]], ["ImageNotFound"])
        self.ecr.batch_delete_image(repositoryName="pushed", imageIds=[{"imageDigest": one}])
        self.assertTrue(self.ecr.get_authorization_token()["authorizationData"])


class EventsTest(SandboxTest):
    def test_a_rule_from_creation_to_deletion(self):
        arn = self.events.put_rule(
            Name="walked",
            ScheduleExpression="rate(5 minutes)",
            State="ENABLED",
            Tags=[{"Key": "team", "Value": "shop"}],
        )["RuleArn"]
        cluster = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"
        target = {
            "Id": "task",
            "Arn": cluster,
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/ecsEventsRole",
            "Input": "{}",
            "EcsParameters": {
                "TaskDefinitionArn": self.register("scheduled"),
                "TaskCount": 1,
                "LaunchType": "FARGATE",
                "NetworkConfiguration": {
                    "awsvpcConfiguration": {"Subnets": [SUBNET], "AssignPublicIp": "DISABLED"}
                },
            },
        }
        put = self.events.put_targets(Rule="walked", Targets=[target])
        self.assertEqual(put["FailedEntryCount"], 0)
        pages = self.events.get_paginator("list_targets_by_rule").paginate(Rule="walked")
        target["EcsParameters"].update(EnableECSManagedTags=False, EnableExecuteCommand=False)
        self.assertEqual([t for page in pages for t in page["Targets"]], [target])
        pages = self.events.get_paginator("list_rule_names_by_target").paginate(TargetArn=cluster)
        self.assertIn("walked", [name for page in pages for name in page["RuleNames"]])

        self.events.disable_rule(Name="walked")
        self.assertEqual(self.events.describe_rule(Name="walked")["State"], "DISABLED")
        self.events.enable_rule(Name="walked")
        self.assertEqual(self.events.describe_rule(Name="walked")["State"], "ENABLED")

        self.events.tag_resource(ResourceARN=arn, Tags=[{"Key": "a", "Value": "1"}])
        self.events.untag_resource(ResourceARN=arn, TagKeys=["team"])
        tags = self.events.list_tags_for_resource(ResourceARN=arn)["Tags"]
        self.assertEqual(tags, [{"Key": "a", "Value": "1"}])

        self.refused("ValidationException", self.events.delete_rule, Name="walked")
        removed = self.events.remove_targets(Rule="walked", Ids=["task"])
        self.assertEqual(removed["FailedEntryCount"], 0)
        self.events.delete_rule(Name="walked")
        self.events.delete_rule(Name="walked")
        self.refused("ResourceNotFoundException", self.events.describe_rule, Name="walked")

    def test_rules_are_listed_page_by_page(self):
        for number in range(3):
            self.events.put_rule(Name=f"page-{number}", ScheduleExpression="cron(0 18 * * ? *)")
        pages = self.events.get_paginator("list_rules").paginate(
            NamePrefix="page-", PaginationConfig={"PageSize": 2}
        )
        names = [rule["Name"] for page in pages for rule in page["Rules"]]
        self.assertEqual(names, ["page-0", "page-1", "page-2"])

    def test_a_bad_schedule_is_refused(self):
        for expression in ("cron(0 18 * * *)", "rate(1 minutes)", "*/5 * * * *"):
            self.refused(
                "ValidationException",
                self.events.put_rule,
                Name="bad",
                ScheduleExpression=expression,
            )


class StsTest(SandboxTest):
    def test_the_caller(self):
        self.assertEqual(self.sts.get_caller_identity()["Account"], ACCOUNT)


class DynamoDbTest(SandboxTest):
    def test_a_table_from_creation_to_deletion(self):
        table = {"TableName": "walked"}
        self.dynamodb.create_table(
            **table,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.dynamodb.get_waiter("table_exists").wait(**table, WaiterConfig={"Delay": 1})
        self.dynamodb.update_time_to_live(
            **table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expiresAt"}
        )
        ttl = self.dynamodb.describe_time_to_live(**table)["TimeToLiveDescription"]
        self.assertEqual(ttl["AttributeName"], "expiresAt")

        keys = [{"pk": {"S": "a"}, "sk": {"S": str(number)}} for number in range(4)]
        self.dynamodb.put_item(
            **table, Item={**keys[0], "n": {"N": "1"}}, ConditionExpression="attribute_not_exists(pk)"
        )
        self.refused(
            "ConditionalCheckFailedException",
            self.dynamodb.put_item,
            **table,
            Item=keys[0],
            ConditionExpression="attribute_not_exists(pk)",
        )
        self.dynamodb.update_item(
            **table,
            Key=keys[0],
            UpdateExpression="SET n = n + :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
        item = self.dynamodb.get_item(**table, Key=keys[0], ConsistentRead=True)["Item"]
        self.assertEqual(item["n"], {"N": "2"})
        self.dynamodb.transact_write_items(
            TransactItems=[{"Put": {**table, "Item": key}} for key in keys[1:3]]
        )
        self.refused(
            "TransactionCanceledException",
            self.dynamodb.transact_write_items,
            TransactItems=[
                {
                    "Put": {
                        **table,
                        "Item": keys[0],
                        "ConditionExpression": "attribute_not_exists(pk)",
                    }
                }
            ],
        )
        self.dynamodb.batch_write_item(
            RequestItems={"walked": [{"PutRequest": {"Item": keys[3]}}]}
        )
        both = self.dynamodb.transact_get_items(
            TransactItems=[{"Get": {**table, "Key": key}} for key in keys[1:3]]
        )
        self.assertEqual([answer["Item"] for answer in both["Responses"]], keys[1:3])
        batch = self.dynamodb.batch_get_item(RequestItems={"walked": {"Keys": keys}})
        self.assertEqual(len(batch["Responses"]["walked"]), 4)

        pages = self.dynamodb.get_paginator("query").paginate(
            **table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "a"}},
            PaginationConfig={"PageSize": 3},
        )
        self.assertEqual([i["sk"]["S"] for page in pages for i in page["Items"]], list("0123"))
        pages = self.dynamodb.get_paginator("scan").paginate(
            **table, PaginationConfig={"PageSize": 3}
        )
        self.assertEqual(sum(page["Count"] for page in pages), 4)
        self.dynamodb.delete_item(**table, Key=keys[0])
        self.assertIn("walked", self.dynamodb.list_tables()["TableNames"])
        self.dynamodb.delete_table(**table)
        self.refused("ResourceNotFoundException", self.dynamodb.describe_table, **table)


class SqsTest(SandboxTest):
    def test_a_queue(self):
        url = self.sqs.create_queue(QueueName="letters", Attributes={"VisibilityTimeout": "60"})
        queue = {"QueueUrl": url["QueueUrl"]}
        self.assertEqual(self.sqs.get_queue_url(QueueName="letters")["QueueUrl"], url["QueueUrl"])
        self.assertIn(url["QueueUrl"], self.sqs.list_queues(QueueNamePrefix="let")["QueueUrls"])
        self.sqs.set_queue_attributes(**queue, Attributes={"DelaySeconds": "0"})
        shown = self.sqs.get_queue_attributes(**queue, AttributeNames=["All"])["Attributes"]
        self.assertEqual((shown["VisibilityTimeout"], shown["DelaySeconds"]), ("60", "0"))

        self.sqs.send_message(**queue, MessageBody="one")
        entries = [{"Id": "a", "MessageBody": "two"}, {"Id": "b", "MessageBody": "three"}]
        sent = self.sqs.send_message_batch(**queue, Entries=entries)
        self.assertEqual([entry["Id"] for entry in sent["Successful"]], ["a", "b"])
        got = self.sqs.receive_message(
            **queue,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=20,
            MessageSystemAttributeNames=["All"],
        )["Messages"]
        self.assertEqual([message["Body"] for message in got], ["one", "two", "three"])
        self.assertEqual(got[0]["Attributes"]["ApproximateReceiveCount"], "1")
        handles = [message["ReceiptHandle"] for message in got]
        self.sqs.delete_message(**queue, ReceiptHandle=handles[0])
        deleted = self.sqs.delete_message_batch(
            **queue, Entries=[{"Id": "a", "ReceiptHandle": handles[1]}]
        )
        self.assertEqual(deleted["Successful"], [{"Id": "a"}])
        self.sqs.change_message_visibility(
            **queue, ReceiptHandle=handles[2], VisibilityTimeout=0
        )
        again = self.sqs.receive_message(**queue)["Messages"]
        self.assertEqual([message["Body"] for message in again], ["three"])
        self.sqs.purge_queue(**queue)
        self.assertNotIn("Messages", self.sqs.receive_message(**queue, WaitTimeSeconds=1))
        self.refused(
            "ReceiptHandleIsInvalid", self.sqs.delete_message, **queue, ReceiptHandle="nonsense"
        )
        self.sqs.delete_queue(**queue)
        missing = "AWS.SimpleQueueService.NonExistentQueue"
        self.refused(missing, self.sqs.receive_message, **queue)

    def test_events_come_into_queues(self):
        queue = {"QueueUrl": self.sqs.create_queue(QueueName="told")["QueueUrl"]}
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:told"
        self.events.put_rule(Name="told", EventPattern=json.dumps({"source": ["shop"]}))
        self.events.put_targets(Rule="told", Targets=[{"Id": "queue", "Arn": arn}])
        entry = {"Source": "shop", "DetailType": "Sold", "Detail": json.dumps({"n": 1})}
        answer = self.events.put_events(Entries=[entry, {**entry, "Source": "aws.ecs"}])
        self.assertEqual(answer["FailedEntryCount"], 1)
        messages = self.sqs.receive_message(**queue, WaitTimeSeconds=20)["Messages"]
        event = json.loads(messages[0]["Body"])
        self.assertEqual((event["detail-type"], event["detail"]), ("Sold", {"n": 1}))
        self.events.remove_targets(Rule="told", Ids=["queue"])
        self.events.delete_rule(Name="told")
        self.sqs.delete_queue(**queue)


class CloudWatchTest(SandboxTest):
    def test_alarms(self):
        self.cloudwatch.put_metric_alarm(
            AlarmName="errors",
            Namespace="AWS/ApplicationELB",
            MetricName="HTTPCode_Target_5XX_Count",
            Dimensions=[{"Name": "LoadBalancer", "Value": "app/shop/1"}],
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=5,
            ComparisonOperator="GreaterThanThreshold",
            Tags=[{"Key": "team", "Value": "shop"}],
        )
        self.cloudwatch.put_composite_alarm(AlarmName="any", AlarmRule='ALARM("errors")')
        new = self.cloudwatch.describe_alarms(AlarmNames=["errors"])["MetricAlarms"][0]
        self.assertEqual((new["StateValue"], new["Threshold"]), ("INSUFFICIENT_DATA", 5.0))
        self.cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="6 > 5")
        pages = self.cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmTypes=["MetricAlarm", "CompositeAlarm"], PaginationConfig={"PageSize": 1}
        )
        alarms = [a for page in pages for a in page["CompositeAlarms"] + page["MetricAlarms"]]
        self.assertEqual([alarm["AlarmName"] for alarm in alarms], ["any", "errors"])
        self.assertEqual(alarms[1]["StateReason"], "6 > 5")
        self.assertGreaterEqual(alarms[1]["StateTransitionedTimestamp"], new["StateUpdatedTimestamp"])
        self.refused("InvalidNextToken", self.cloudwatch.describe_alarms, NextToken="zz")
        self.cloudwatch.delete_alarms(AlarmNames=["errors", "any"])
        self.assertEqual(self.cloudwatch.describe_alarms()["MetricAlarms"], [])


class AwsCliTest(unittest.TestCase):
    """The AWS CLI, as people type it."""

    def aws(self, *arguments):
        program = os.path.join(os.path.dirname(sys.executable), "aws")
        ended = subprocess.run(
            [program, *arguments, "--output", "json"],
            env={**os.environ, "AWS_PAGER": ""},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return json.loads(ended.stdout) if ended.stdout.strip() else None

    def test_who_am_i(self):
        self.assertEqual(self.aws("sts", "get-caller-identity")["Account"], ACCOUNT)

    def test_services(self):
        self.aws("ecs", "wait", "services-stable", "--cluster", CLUSTER, "--services", "app", "shoryuken")
        answer = self.aws("ecs", "describe-services", "--cluster", CLUSTER, "--services", "app")
        service = answer["services"][0]
        self.assertEqual(service["runningCount"], 3)
        self.assertTrue(service["taskDefinition"].endswith(":task-definition/rails-app:1"))

    def test_images(self):
        answer = self.aws(
            "ecr", "describe-images", "--repository-name", "rails/app", "--image-ids", "imageTag=9d3c2f1"
        )
        self.assertTrue(answer["imageDetails"][0]["imageDigest"].startswith("sha256:"))

    def test_rules(self):
        rules = self.aws("events", "list-rules", "--name-prefix", "someone")["Rules"]
        self.assertEqual([rule["Name"] for rule in rules], ["someone-elses-rule"])

    def test_a_table(self):
        name = ["--table-name", "by-hand"]
        self.aws(
            "dynamodb", "create-table", *name,
            "--billing-mode", "PAY_PER_REQUEST",
            "--attribute-definitions", "AttributeName=pk,AttributeType=S",
            "--key-schema", "AttributeName=pk,KeyType=HASH",
        )
        self.aws("dynamodb", "put-item", *name, "--item", '{"pk": {"S": "a"}}')
        self.assertEqual(self.aws("dynamodb", "scan", *name)["Count"], 1)
        self.aws("dynamodb", "delete-table", *name)


class ZEveryOperationTest(SandboxTest):
    """Comes last, by its name: nothing that is offered may have been left out above."""

    def test_every_operation_was_called(self):
        offered = {
            (service, operation)
            for service, operations in OFFERED.items()
            for operation in operations.split()
        }
        self.assertEqual(offered - SandboxTest.called, set())


if __name__ == "__main__":
    unittest.main()
