"""Holds an endpoint's answers against botocore's model of the service.

botocore takes what it knows from an answer and drops the rest without a word, so that a field of
the wrong name or type goes unseen. `watched` makes a client whose every answer is compared with the
operation's output shape, and every error with the errors that the operation has.
"""

import json

import boto3

# Errors that any operation of a service may answer, which the models do not list.
COMMON_ERRORS = {
    "AccessDeniedException",
    "ThrottlingException",
    "UnknownOperationException",
    "ValidationException",
}

# Members that AWS itself sends without having them in its model.
UNMODELLED = {"TableDescription.TableThroughputModeSummary", "Table.TableThroughputModeSummary"}

PYTHON_TYPES = {
    "string": str,
    "integer": int,
    "long": int,
    "double": (int, float),
    "float": (int, float),
    "boolean": bool,
    "timestamp": (int, float),
    "blob": str,
}


class Mismatch(AssertionError):
    """An answer that is not of the model's shape."""


def watched(service, called):
    """A boto3 client that checks every answer and adds the operations called to a set."""
    client = boto3.client(service)

    def check(operation_model, response_dict, **_more):
        called.add((service, operation_model.name))
        check_response(operation_model, response_dict)

    client.meta.events.register("before-parse.*.*", check)
    return client


def check_response(operation, response):
    """Checks one answer. Only the JSON protocols: STS speaks XML, which botocore takes strictly."""
    if "json" not in response["headers"].get("content-type", "json"):
        return
    body = json.loads(response["body"]) if response["body"] else {}
    where = operation.name
    if response["status_code"] >= 400:
        check_error(operation, body, where)
    elif operation.output_shape is not None:
        check_value(operation.output_shape, body, where)


def check_error(operation, body, where):
    code = body.get("__type", "").rsplit("#", 1)[-1]
    known = {shape.error_code or shape.name for shape in operation.error_shapes}
    known |= {shape.name for shape in operation.error_shapes} | COMMON_ERRORS
    if code not in known:
        raise Mismatch(f"{where} has no error {code!r}, only {sorted(known)}: {body}")
    if not (body.get("message") or body.get("Message")):
        raise Mismatch(f"{where} answers {code} without a message: {body}")


def check_value(shape, value, where):
    if shape.type_name == "structure":
        expect(isinstance(value, dict), where, "a structure", value)
        for name, inner in value.items():
            if f"{where}.{name}".split(".", 1)[-1] in UNMODELLED:
                continue
            if name not in shape.members:
                raise Mismatch(f"{where} has no member {name}, only {sorted(shape.members)}")
            if inner is None:
                raise Mismatch(f"{where}.{name} is null: AWS leaves out what is not there")
            check_value(shape.members[name], inner, f"{where}.{name}")
    elif shape.type_name == "list":
        expect(isinstance(value, list), where, "a list", value)
        for place, inner in enumerate(value):
            check_value(shape.member, inner, f"{where}[{place}]")
    elif shape.type_name == "map":
        expect(isinstance(value, dict), where, "a map", value)
        for name, inner in value.items():
            check_value(shape.value, inner, f"{where}[{name}]")
    else:
        check_scalar(shape, value, where)


def check_scalar(shape, value, where):
    wanted = PYTHON_TYPES[shape.type_name]
    right = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    expect(right, where, f"a {shape.type_name}", value)
    if shape.type_name == "string" and shape.enum and value not in shape.enum:
        raise Mismatch(f"{where} is {value!r}, none of {shape.enum}")


def expect(right, where, wanted, value):
    if not right:
        raise Mismatch(f"{where} is not {wanted}: {value!r}")
