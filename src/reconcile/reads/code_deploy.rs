//! CodeDeploy's deployments. Read for one service at a time, and only while one is being moved: it has
//! no call that answers for several groups.

use super::view::View;
use crate::aws::error::{AwsError, Call};
use crate::model::known::Known;
use crate::model::observed::{DeploymentGroup, DeploymentRecord};

impl View {
    /// A deployment group. Absent: the group, or its application.
    pub(in crate::reconcile) async fn deployment_group(
        &self,
        application: &str,
        group: &str,
    ) -> Result<Known<DeploymentGroup>, AwsError> {
        self.may_ask(&Call::read("codedeploy", "GetDeploymentGroup", group))?;
        let codedeploy = self.clients().codedeploy;
        codedeploy.group(application, group).await
    }

    /// The newest deployments of a group, newest first; `target` is `<cluster>:<service>`.
    pub(in crate::reconcile) async fn code_deploy(
        &self,
        application: &str,
        group: &str,
        target: &str,
    ) -> Result<Vec<DeploymentRecord>, AwsError> {
        self.may_ask(&Call::read("codedeploy", "ListDeployments", group))?;
        let codedeploy = self.clients().codedeploy;
        codedeploy.deployments(application, group, target).await
    }
}
