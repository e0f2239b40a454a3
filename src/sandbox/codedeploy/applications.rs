//! Applications: names that deployment groups are gathered under.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::cx::Cx;
use super::super::fault::Fault;
use super::super::json::{Object, epoch, page, text};
use super::{CodeDeploy, needed};

/// AWS answers so many names at a time.
const PAGE: usize = 100;

/// An application.
pub(super) struct Application {
    id: String,
    platform: String,
    created: Timestamp,
}

/// The name of the application that a call is about.
pub(super) fn named(input: &Object) -> Result<&str, Fault> {
    let code = "ApplicationNameRequiredException";
    let name = needed(
        input,
        "applicationName",
        code,
        "Application name is missing",
    )?;
    match name.len() <= 100 {
        true => Ok(name),
        false => Err(Fault::client(
            "InvalidApplicationNameException",
            "Application name is longer than 100 characters",
        )),
    }
}

/// `InvalidNextTokenException`.
pub(super) fn bad_token() -> Fault {
    Fault::client("InvalidNextTokenException", "The next token is invalid")
}

impl CodeDeploy {
    pub(super) fn create_application(
        &mut self,
        cx: &mut Cx<'_>,
        input: &Object,
    ) -> Result<Value, Fault> {
        let name = named(input)?;
        let platform = text(input, "computePlatform").unwrap_or("Server");
        if !["Server", "Lambda", "ECS", "Kubernetes"].contains(&platform) {
            return Err(Fault::client(
                "InvalidComputePlatformException",
                format!("{platform} is no compute platform"),
            ));
        }
        if self.applications.contains_key(name) {
            return Err(Fault::client(
                "ApplicationAlreadyExistsException",
                format!("Application already exists: {name}"),
            ));
        }
        let id = cx.ids.uuid();
        let made = Application {
            id: id.clone(),
            platform: platform.to_owned(),
            created: cx.now,
        };
        self.applications.insert(name.to_owned(), made);
        Ok(json!({ "applicationId": id }))
    }

    /// The application that a call is about.
    pub(super) fn application<'a>(&self, input: &'a Object) -> Result<(&'a str, bool), Fault> {
        let name = named(input)?;
        let found = self.applications.get(name);
        let missing = || {
            Fault::client(
                "ApplicationDoesNotExistException",
                format!("No application found for name: {name}"),
            )
        };
        Ok((name, found.ok_or_else(missing)?.platform == "ECS"))
    }

    pub(super) fn get_application(&self, input: &Object) -> Result<Value, Fault> {
        let (name, _) = self.application(input)?;
        let found = self.applications.get(name);
        let view = found.map(|it| {
            json!({
                "applicationId": it.id,
                "applicationName": name,
                "createTime": epoch(it.created),
                "linkedToGitHub": false,
                "computePlatform": it.platform,
            })
        });
        Ok(json!({ "application": view }))
    }

    pub(super) fn list_applications(&self, input: &Object) -> Result<Value, Fault> {
        let names = self.applications.keys();
        let names = names.map(|name| (name.clone(), name.clone()));
        let page = page(names, text(input, "nextToken"), PAGE, bad_token)?;
        Ok(with_next(json!({ "applications": page.items }), page.next))
    }

    /// Its groups go with it; what is under way goes on.
    pub(super) fn delete_application(&mut self, input: &Object) -> Result<Value, Fault> {
        let name = named(input)?;
        self.applications.remove(name);
        self.groups.retain(|(of, _), _| of != name);
        Ok(json!({}))
    }
}

/// The answer, with the token of its next page where there is one.
pub(super) fn with_next(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    answer
}
