//! awsJson, awsQuery, restJson and Smithy's RPC in CBOR: from an HTTP request to a call, and from its outcome to an answer.

mod rest;
mod rest_xml;

use serde_json::Value;

use super::cbor;
use super::fault::Fault;
use super::json::Object;

/// The Region of requests that name none.
const REGION: &str = "us-east-1";
const CBOR: &str = "application/cbor";
const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The parts of an HTTP request that say what is asked.
pub(super) struct Raw<'a> {
    /// `POST`, and with REST others
    pub method: &'a str,
    /// The URL, or its path and query.
    pub path: &'a str,
    /// `X-Amz-Target`
    pub target: Option<&'a str>,
    /// `Authorization`
    pub authorization: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub service: String,
    pub operation: String,
    pub region: String,
    pub input: Object,
    pub access_key: Option<String>,
}

/// How a call is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Json10,
    Json11,
    Query,
    /// awsJson 1.0 of a service that was a query service before: errors have their old code beside.
    Sqs,
    /// Smithy's RPC in CBOR, of a service that was a query service before.
    Cbor,
    /// JSON, with the operation in method and path, and the error in a header.
    RestJson,
    /// The same in XML.
    RestXml,
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub request_id: String,
    /// `x-amzn-query-error`
    pub query_error: Option<String>,
    /// `x-amz-function-error`
    pub function_error: Option<String>,
    /// `x-amzn-errortype`
    pub error_type: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// `smithy-protocol`
    pub fn smithy_protocol(&self) -> Option<&'static str> {
        (self.content_type == CBOR).then_some("rpc-v2-cbor")
    }
}

/// Why a request cannot be read, and the protocol that it seems to be in.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub protocol: Protocol,
    pub fault: Box<Fault>,
}

impl Unreadable {
    fn new(protocol: Protocol, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            protocol,
            fault: Box::new(Fault::client(code, message)),
        }
    }
}

/// Reads a request.
pub(super) fn read(raw: &Raw<'_>) -> Result<(Protocol, Call), Unreadable> {
    let scope = raw.authorization.and_then(credential);
    let region = scope.as_ref().map_or(REGION, |scope| scope.region);
    let access_key = scope.as_ref().map(|scope| scope.access_key.to_owned());
    if let Some((prefix, operation)) = rpc(raw.path) {
        let input = match cbor::read(raw.body) {
            Some(Value::Object(input)) => input,
            None if raw.body.is_empty() => Object::new(),
            Some(_) | None => {
                let message = format!("The body of {operation} is no map in CBOR");
                let code = "SerializationException";
                return Err(Unreadable::new(Protocol::Cbor, code, message));
            }
        };
        return Ok((
            Protocol::Cbor,
            Call {
                service: service(prefix).0.to_owned(),
                operation: operation.to_owned(),
                region: region.to_owned(),
                input,
                access_key,
            },
        ));
    }
    if let Some(scope) = scope.as_ref().filter(|it| rest::is_rest(it.service)) {
        return rest::read(raw, scope);
    }
    if let Some(scope) = scope.as_ref().filter(|it| rest_xml::is_rest(it.service)) {
        return rest_xml::read(raw, scope);
    }
    let Some(target) = raw.target else {
        let (operation, input) = read_query(raw.body)?;
        let service = scope.as_ref().map_or("sts", |scope| scope.service);
        return Ok((
            Protocol::Query,
            Call {
                service: service.to_owned(),
                operation,
                region: region.to_owned(),
                input,
                access_key,
            },
        ));
    };
    let (prefix, operation) = target.rsplit_once('.').unwrap_or(("", target));
    let (service, protocol) = service(prefix);
    let input = if raw.body.is_empty() {
        Object::new()
    } else {
        serde_json::from_slice(raw.body).map_err(|error| {
            let message = format!("The body of {operation} is no JSON object: {error}");
            Unreadable::new(protocol, "SerializationException", message)
        })?
    };
    Ok((
        protocol,
        Call {
            service: service.to_owned(),
            operation: operation.to_owned(),
            region: region.to_owned(),
            input,
            access_key,
        },
    ))
}

/// Service and operation of `/service/SERVICE/operation/OPERATION`.
fn rpc(path: &str) -> Option<(&str, &str)> {
    let (_, named) = path.rsplit_once("/service/")?;
    named.split_once("/operation/")
}

/// A service's name in boto3, of its target's prefix; strangers keep their prefix.
fn service(prefix: &str) -> (&str, Protocol) {
    match prefix {
        "AmazonEC2ContainerServiceV20141113" => ("ecs", Protocol::Json11),
        "AmazonEC2ContainerRegistry_V20150921" => ("ecr", Protocol::Json11),
        "AWSEvents" => ("events", Protocol::Json11),
        "Logs_20140328" => ("logs", Protocol::Json11),
        "CodeDeploy_20141006" => ("codedeploy", Protocol::Json11),
        "CodePipeline_20150709" => ("codepipeline", Protocol::Json11),
        "DynamoDB_20120810" => ("dynamodb", Protocol::Json10),
        "AmazonSSM" => ("ssm", Protocol::Json11),
        "secretsmanager" => ("secretsmanager", Protocol::Json11),
        "AmazonSQS" => ("sqs", Protocol::Sqs),
        "GraniteServiceVersion20100801" => ("cloudwatch", Protocol::Json11),
        "DynamoDBStreams_20120810" => ("dynamodbstreams", Protocol::Json10),
        other => (other, Protocol::Json11),
    }
}

/// A SigV4 credential scope.
struct Scope<'a> {
    access_key: &'a str,
    region: &'a str,
    service: &'a str,
}

/// `AWS4-HMAC-SHA256 Credential=KEY/20260101/eu-west-1/ecs/aws4_request, ...`
fn credential(authorization: &str) -> Option<Scope<'_>> {
    let (_, rest) = authorization.split_once("Credential=")?;
    let scope = rest.split([',', ' ']).next()?;
    // An access key may hold slashes; the scope's four parts come last.
    let mut parts = scope.rsplitn(5, '/');
    let _terminator = parts.next()?;
    let service = parts.next()?;
    let region = parts.next()?;
    let _date = parts.next()?;
    Some(Scope {
        access_key: parts.next()?,
        region,
        service,
    })
}

fn read_query(body: &[u8]) -> Result<(String, Object), Unreadable> {
    let refuse = || {
        Unreadable::new(
            Protocol::Query,
            "UnknownOperationException",
            "The request names no operation: neither X-Amz-Target nor Action",
        )
    };
    let body = std::str::from_utf8(body).map_err(|_| refuse())?;
    let mut input: Object = body
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (unescape(key), Value::String(unescape(value))))
        .collect();
    match input.shift_remove("Action") {
        Some(Value::String(action)) => {
            input.shift_remove("Version");
            Ok((action, input))
        }
        _ => Err(refuse()),
    }
}

/// Form decoding: `+` and `%20` are spaces.
fn unescape(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => plain.push(b' '),
            b'%' => {
                let mut ahead = bytes.clone();
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                match (digit(ahead.next()), digit(ahead.next())) {
                    (Some(high), Some(low)) => {
                        plain.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                        bytes = ahead;
                    }
                    _ => plain.push(b'%'),
                }
            }
            other => plain.push(other),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Writes what a call answers.
pub(super) fn write(
    protocol: Protocol,
    operation: &str,
    outcome: &Result<Value, Fault>,
    request_id: String,
) -> Answer {
    match outcome {
        Ok(value) if protocol == Protocol::RestJson && operation == "Invoke" => {
            // A function's answer is its payload, whatever that is.
            let payload = value["Payload"].to_string().into_bytes();
            let mut answer = answer(protocol, 200, request_id, payload);
            answer.function_error = value["FunctionError"].as_str().map(str::to_owned);
            answer
        }
        Ok(value) => {
            let body = match protocol {
                Protocol::RestXml => rest_xml::answer(value).into_bytes(),
                Protocol::Query => result_xml(operation, value, &request_id).into_bytes(),
                Protocol::Json10 | Protocol::Json11 | Protocol::Sqs | Protocol::RestJson => {
                    value.to_string().into_bytes()
                }
                Protocol::Cbor => cbor::write(value),
            };
            answer(protocol, 200, request_id, body)
        }
        Err(fault) => refusal(
            protocol,
            fault.status,
            fault.code,
            &fault.message,
            &fault.extra,
            request_id,
        ),
    }
}

/// Writes an error.
pub(super) fn refusal(
    protocol: Protocol,
    status: u16,
    code: &str,
    message: &str,
    extra: &Object,
    request_id: String,
) -> Answer {
    let body = match protocol {
        Protocol::Query => error_xml(status, code, message, &request_id).into_bytes(),
        Protocol::RestXml => rest_xml::error(status, code, message, &request_id).into_bytes(),
        Protocol::RestJson => {
            let mut body = Object::new();
            body.insert("Message".to_owned(), message.into());
            body.extend(extra.clone());
            Value::Object(body).to_string().into_bytes()
        }
        Protocol::Json10 | Protocol::Json11 | Protocol::Sqs | Protocol::Cbor => {
            let mut body = Object::new();
            let kind = match (protocol, code) {
                (Protocol::Json10, code) => format!("com.amazonaws.dynamodb.v20120810#{code}"),
                (Protocol::Sqs, code) => format!("com.amazonaws.sqs#{code}"),
                (Protocol::Cbor, code) => format!("com.amazonaws.cloudwatch#{code}"),
                (_, code) => code.to_owned(),
            };
            body.insert("__type".to_owned(), kind.into());
            body.insert("message".to_owned(), message.into());
            body.extend(extra.clone());
            match protocol {
                Protocol::Cbor => cbor::write(&Value::Object(body)),
                _ => Value::Object(body).to_string().into_bytes(),
            }
        }
    };
    let mut answer = answer(protocol, status, request_id, body);
    if protocol == Protocol::RestJson {
        answer.error_type = Some(code.to_owned());
    }
    if matches!(protocol, Protocol::Sqs | Protocol::Cbor) {
        let side = if status < 500 { "Sender" } else { "Receiver" };
        answer.query_error = Some(format!("{};{side}", query_code(code)));
    }
    answer
}

/// SQS's or CloudWatch's code from before it spoke JSON or CBOR, by which its clients still know
/// its errors.
fn query_code(code: &str) -> String {
    match code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
        "QueueNameExists" => "QueueAlreadyExists".to_owned(),
        "BatchEntryIdsNotDistinct"
        | "EmptyBatchRequest"
        | "TooManyEntriesInBatchRequest"
        | "MessageNotInflight"
        | "UnsupportedOperation" => format!("AWS.SimpleQueueService.{code}"),
        "ValidationException" => "ValidationError".to_owned(),
        "MissingRequiredParameterException" => "MissingParameter".to_owned(),
        other => other.trim_end_matches("Exception").to_owned(),
    }
}

fn answer(protocol: Protocol, status: u16, request_id: String, body: Vec<u8>) -> Answer {
    Answer {
        status,
        content_type: match protocol {
            Protocol::Json10 | Protocol::Sqs => "application/x-amz-json-1.0",
            Protocol::Json11 => "application/x-amz-json-1.1",
            Protocol::Query => "text/xml",
            Protocol::Cbor => CBOR,
            Protocol::RestJson => "application/json",
            Protocol::RestXml => "text/xml",
        },
        request_id,
        query_error: None,
        error_type: None,
        function_error: None,
        body,
    }
}

fn result_xml(operation: &str, value: &Value, request_id: &str) -> String {
    format!(
        "<{operation}Response xmlns=\"{STS_NAMESPACE}\"><{operation}Result>{}</{operation}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>\
         </{operation}Response>",
        xml(value)
    )
}

fn error_xml(status: u16, code: &str, message: &str, request_id: &str) -> String {
    let side = if status < 500 { "Sender" } else { "Receiver" };
    format!(
        "<ErrorResponse xmlns=\"{STS_NAMESPACE}\"><Error><Type>{side}</Type><Code>{}</Code>\
         <Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
        escape(code),
        escape(message)
    )
}

/// Objects of scalars, which is all that STS answers.
fn xml(value: &Value) -> String {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| format!("<{key}>{}</{key}>", xml(value)))
            .collect(),
        Value::String(text) => escape(text),
        other => escape(&other.to_string()),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AUTH: &str = "AWS4-HMAC-SHA256 Credential=AKID/x/20260101/ap-northeast-1/ecs/aws4_request, SignedHeaders=host, Signature=00";

    fn raw<'a>(target: Option<&'a str>, body: &'a str) -> Raw<'a> {
        Raw {
            method: "POST",
            path: "/",
            target,
            authorization: Some(AUTH),
            body: body.as_bytes(),
        }
    }

    #[test]
    fn region_and_caller_come_from_the_credential_scope() {
        let target = "AmazonEC2ContainerServiceV20141113.ListClusters";
        let (protocol, call) = read(&raw(Some(target), "")).unwrap();
        assert_eq!(protocol, Protocol::Json11);
        assert_eq!(
            (call.service.as_str(), call.operation.as_str()),
            ("ecs", "ListClusters")
        );
        assert_eq!(call.region, "ap-northeast-1");
        assert_eq!(call.access_key.as_deref(), Some("AKID/x"));
        let unsigned = Raw {
            authorization: None,
            ..raw(Some(target), "{}")
        };
        assert_eq!(read(&unsigned).unwrap().1.region, "us-east-1");
    }

    #[test]
    fn query_bodies_are_decoded() {
        let body = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa&Policy=a+b%20c%zz";
        let (protocol, call) = read(&raw(None, body)).unwrap();
        assert_eq!(protocol, Protocol::Query);
        assert_eq!(call.operation, "AssumeRole");
        assert_eq!(
            Value::Object(call.input),
            json!({"RoleArn": "arn:aws:iam::1:role/a", "Policy": "a b c%zz"})
        );
    }

    #[test]
    fn nonsense_is_refused_not_crashed_on() {
        assert_eq!(
            read(&raw(None, "hello")).unwrap_err().fault.code,
            "UnknownOperationException"
        );
        assert_eq!(
            read(&raw(Some("AWSEvents.PutRule"), "[1]"))
                .unwrap_err()
                .fault
                .code,
            "SerializationException"
        );
        let strange = read(&raw(Some("Strange_20140328.GetLogEvents"), "{}")).unwrap();
        assert_eq!(strange.1.service, "Strange_20140328");
    }

    #[test]
    fn errors_have_aws_shapes() {
        let outcome = Err(Fault::client("NoSuch", "a < b").with("resourceIds", json!(["x"])));
        let json11 = write(Protocol::Json11, "X", &outcome, "id".to_owned());
        assert_eq!(
            json11.body,
            br#"{"__type":"NoSuch","message":"a < b","resourceIds":["x"]}"#
        );
        let query = write(Protocol::Query, "X", &outcome, "id".to_owned());
        assert_eq!(query.status, 400);
        let text = String::from_utf8(query.body).unwrap();
        assert!(text.contains("<Message>a &lt; b</Message>"));
    }
}
